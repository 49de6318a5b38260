#include "writer.h"

bool
writer_grow(Writer *writer, Py_ssize_t size)
{
    if (size > PY_SSIZE_T_MAX - writer->used) {
        PyErr_NoMemory();
        return false;
    }
    Py_ssize_t needed = writer->used + size;
    Py_ssize_t capacity = writer->capacity > PY_SSIZE_T_MAX / 2 ? needed : 2 * writer->capacity;
    if (capacity < needed) {
        capacity = needed;
    }
    if (writer->bytes == NULL) {
        writer->bytes = PyBytes_FromStringAndSize(NULL, capacity);
        if (writer->bytes == NULL) {
            return false;
        }
        memcpy(PyBytes_AS_STRING(writer->bytes), writer->local, (size_t)writer->used);
    }
    else if (_PyBytes_Resize(&writer->bytes, capacity) < 0) {
        /* The old bytes are gone: let nobody write to them. */
        writer_start(writer);
        return false;
    }
    writer->data = (unsigned char *)PyBytes_AS_STRING(writer->bytes);
    writer->capacity = capacity;
    return true;
}

PyObject *
writer_finish(Writer *writer)
{
    PyObject *bytes = writer->bytes;
    if (bytes == NULL) {
        bytes = PyBytes_FromStringAndSize((const char *)writer->local, writer->used);
    }
    else if (writer->used != writer->capacity) {
        _PyBytes_Resize(&bytes, writer->used);
    }
    writer_start(writer);
    return bytes;
}
