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

/* The value of an exact int that is small enough to need no look at its digits; of at most 30 bits. False: it is not. */
static inline bool
small_value(PyObject *number, int32_t *value)
{
#if PY_VERSION_HEX < 0x030c0000
    Py_ssize_t size = Py_SIZE(number);
    if (size < -1 || size > 1) {
        return false;
    }
    /* Of zero there is no digit, though there is room for one. */
    *value = size == 0 ? 0 : (int32_t)(size * (Py_ssize_t)((PyLongObject *)number)->ob_digit[0]);
#else
    if (!PyUnstable_Long_IsCompact((PyLongObject *)number)) {
        return false;
    }
    Py_ssize_t compact = PyUnstable_Long_CompactValue((PyLongObject *)number);
    if (compact < INT32_MIN || compact > INT32_MAX) {
        return false;
    }
    *value = (int32_t)compact;
#endif
    return true;
}

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
