/* ints and ASCII texts, made in place: half of the time of a result goes into them, and half of that into what Python's
   general constructors ask. What they make is the same; where the layout of these classes is not known to be that of
   the public headers, they are what is called. */

#ifndef PGSANSIO_MAKE_H
#define PGSANSIO_MAKE_H

#include "kernel.h"

#include <assert.h>
#include <stddef.h>

/* Objects get a count of one and nothing else, as in any release build with the GIL. */
#if !defined(Py_GIL_DISABLED) && !defined(Py_REF_DEBUG) && !defined(Py_TRACE_REFS) && PY_VERSION_HEX < 0x030f0000
#define MAKE_IN_PLACE 1
#else
#define MAKE_IN_PLACE 0
#endif

#if MAKE_IN_PLACE
/* A new object of one of Python's own classes, of so many bytes; all behind its head is still to be filled. */
static inline void *
make_object(PyTypeObject *type, size_t size)
{
    PyObject *self = PyObject_Malloc(size);
    if (self == NULL) {
        return PyErr_NoMemory();
    }
#if PY_VERSION_HEX < 0x030c0000
    Py_SET_REFCNT(self, 1);
    Py_SET_TYPE(self, type);
    return self;
#else
    /* There is more in a head. */
    return PyObject_Init(self, type);
#endif
}
#endif

#if MAKE_IN_PLACE && PY_VERSION_HEX < 0x030c0000 && PYLONG_BITS_IN_DIGIT == 30
/* An int of `size` < 2**60, or less than zero by that. Later versions make them as fast themselves, and 3.14 uses those
   again that were given back. */
static inline PyObject *
make_two_digits(uint64_t size, bool is_negative)
{
    /* There is always room for a second digit. */
    static_assert(offsetof(PyLongObject, ob_digit) + 2 * sizeof(digit) <= sizeof(PyLongObject), "two digits");
    PyLongObject *self = make_object(&PyLong_Type, sizeof(PyLongObject));
    if (self != NULL) {
        digit *digits = self->ob_digit;
        digits[0] = (digit)(size & PyLong_MASK);
        digits[1] = (digit)(size >> PyLong_SHIFT);
        Py_ssize_t count = 1 + (digits[1] != 0);
        Py_SET_SIZE(self, is_negative ? -count : count);
    }
    return (PyObject *)self;
}
#define HAS_TWO_DIGITS 1
#else
#define HAS_TWO_DIGITS 0
#endif

static inline PyObject *
make_int(State *state, int64_t value)
{
    uint64_t index = (uint64_t)value + SMALL_INTS_NEGATIVE;
    if (index < SMALL_INTS) {
        return Py_NewRef(state->small_ints[index]);
    }
#if HAS_TWO_DIGITS
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    if (size >> (2 * PyLong_SHIFT) == 0) {
        return make_two_digits(size, value < 0);
    }
#endif
    return PyLong_FromLongLong(value);
}

/* A text of `size` >= 2 ASCII characters, which are still to be written to `*data`. */
static inline PyObject *
make_ascii(Py_ssize_t size, unsigned char **data)
{
#if MAKE_IN_PLACE
    PyASCIIObject *self = make_object(&PyUnicode_Type, sizeof(PyASCIIObject) + (size_t)size + 1);
    if (self == NULL) {
        return NULL;
    }
    memset((char *)self + sizeof(PyObject), 0, sizeof(PyASCIIObject) - sizeof(PyObject));
    self->length = size;
    self->hash = -1;
    self->state.kind = PyUnicode_1BYTE_KIND;
    self->state.compact = 1;
    self->state.ascii = 1;
#if PY_VERSION_HEX < 0x030c0000
    self->state.ready = 1;
#endif
    *data = (unsigned char *)(self + 1);
    (*data)[size] = 0;
    return (PyObject *)self;
#else
    PyObject *self = PyUnicode_New(size, 127);
    if (self != NULL) {
        *data = PyUnicode_1BYTE_DATA(self);
    }
    return self;
#endif
}

/* Append to a list of exactly that class; takes the reference. False: an exception is set. */
static inline bool
append_new(PyObject *list, PyObject *item)
{
#if MAKE_IN_PLACE
    Py_ssize_t size = PyList_GET_SIZE(list);
    if (size < ((PyListObject *)list)->allocated) {
        Py_SET_SIZE(list, size + 1);
        PyList_SET_ITEM(list, size, item);
        return true;
    }
#endif
    int failed = PyList_Append(list, item);
    Py_DECREF(item);
    return failed == 0;
}

#endif
