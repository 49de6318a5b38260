/* join_copy_data: the bodies of a run of CopyData messages. */

#include "kernel.h"

enum { COPY_DATA = 'd' };

/* The body of the CopyData message that is next. False: there is no complete one, and nothing was read. */
static inline bool
read_body(Reader *data, Reader *body)
{
    Reader rest = *data;
    uint8_t tag;
    uint32_t length;
    /* The length counts itself. */
    if (!read_uint8(&rest, &tag) || tag != COPY_DATA || !read_uint32(&rest, &length) || length < 4
        || !read_part(&rest, (Py_ssize_t)length - 4, body)) {
        return false;
    }
    *data = rest;
    return true;
}

PyObject *
join_copy_data(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (!check_count("join_copy_data", count, 3)) {
        return NULL;
    }
    Py_ssize_t start = PyLong_AsSsize_t(args[1]);
    Py_ssize_t end = PyErr_Occurred() ? -1 : PyLong_AsSsize_t(args[2]);
    Py_buffer buffer;
    if (PyErr_Occurred() || PyObject_GetBuffer(args[0], &buffer, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    const Reader data = reader_over(buffer.buf, buffer.len, start, end);
    Reader rest = data;
    Reader body;
    Py_ssize_t size = 0;
    while (read_body(&rest, &body)) {
        size += reader_left(&body);
    }
    Py_ssize_t position = rest.at - (const unsigned char *)buffer.buf;
    PyObject *joined = PyBytes_FromStringAndSize(NULL, size);
    if (joined != NULL) {
        char *to = PyBytes_AS_STRING(joined);
        for (rest = data; read_body(&rest, &body); to += reader_left(&body)) {
            memcpy(to, body.at, (size_t)reader_left(&body));
        }
    }
    PyBuffer_Release(&buffer);
    return joined == NULL ? NULL : Py_BuildValue("nN", position, joined);
}
