/* What differs between the versions of Python that this kernel is built for. */

#ifndef PGSANSIO_COMPAT_H
#define PGSANSIO_COMPAT_H

#include <Python.h>
#include <stdbool.h>

#if PY_VERSION_HEX < 0x030c0000

/* The exception that is set, complete and with its traceback; it is set no longer. */
static inline PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
}

/* Takes the reference. */
static inline void
PyErr_SetRaisedException(PyObject *error)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), error, PyException_GetTraceback(error));
}

#endif

/* An int of 16 bytes, the first one counting most. */
static inline PyObject *
int_of_16_bytes(const unsigned char *bytes)
{
#if PY_VERSION_HEX < 0x030d0000
    return _PyLong_FromByteArray(bytes, 16, 0, 0);
#else
    return PyLong_FromUnsignedNativeBytes(bytes, 16, Py_ASNATIVEBYTES_BIG_ENDIAN);
#endif
}

/* Its opposite, of an exact int. False: it is negative or needs more bytes; no exception is set. */
static inline bool
int_to_16_bytes(PyObject *number, unsigned char *bytes)
{
#if PY_VERSION_HEX < 0x030d0000
    if (_PyLong_AsByteArray((PyLongObject *)number, bytes, 16, 0, 0) < 0) {
        PyErr_Clear();
        return false;
    }
    return true;
#else
    Py_ssize_t size = PyLong_AsNativeBytes(
        number, bytes, 16,
        Py_ASNATIVEBYTES_BIG_ENDIAN | Py_ASNATIVEBYTES_UNSIGNED_BUFFER | Py_ASNATIVEBYTES_REJECT_NEGATIVE);
    if (size < 0) {
        PyErr_Clear();
    }
    return size >= 0 && size <= 16;
#endif
}

#endif
