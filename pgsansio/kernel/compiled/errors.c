/* Errors are rare, so their texts are made in Python, by the functions that the pure kernel uses. */

#include "kernel.h"

bool
error_goes_through(void)
{
    return PyErr_ExceptionMatches(PyExc_MemoryError) || !PyErr_ExceptionMatches(PyExc_Exception);
}

PyObject *
decline_error(void)
{
    if (!error_goes_through()) {
        PyErr_Clear();
    }
    return NULL;
}

Encoded
decline_encoding(void)
{
    decline_error();
    return PyErr_Occurred() ? FAILED : DECLINED;
}

PyObject *
take_refusal(State *state, RowPlan *plan, Py_ssize_t column)
{
    if (error_goes_through()) {
        return NULL;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *refusal = PyObject_CallFunction(state->refused_value, "OOn", plan, error, column);
    Py_DECREF(error);
    return refusal;
}

void
raise_broken(PyObject *function, Reader frame, Py_ssize_t columns)
{
    PyObject *data = read_bytes(frame);
    if (data == NULL) {
        return;
    }
    PyObject *found = PyObject_CallFunction(function, "Nn", data, columns);
    if (found != NULL) {
        Py_DECREF(found);
        PyErr_SetString(PyExc_SystemError, "the kernels disagree whether a row is broken");
    }
}

void
raise_refused_argument(State *state, Py_ssize_t column, PyObject *values, PyObject *kind, Py_ssize_t number)
{
    if (error_goes_through()) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *refusal = PyObject_CallFunction(state->refused_argument, "OnOOn", error, column, values, kind, number);
    Py_DECREF(error);
    if (refusal != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(refusal), refusal);
        Py_DECREF(refusal);
    }
}

void
raise_too_long(State *state)
{
    PyObject *error = PyObject_CallNoArgs(state->too_long);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

bool
check_type(PyObject *object, PyTypeObject *type, const char *what)
{
    if (PyObject_TypeCheck(object, type)) {
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%s must be of type %s, not %s", what, type->tp_name, Py_TYPE(object)->tp_name);
    return false;
}

bool
check_count(const char *function, Py_ssize_t count, Py_ssize_t expected)
{
    if (count == expected) {
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments but %zd were given", function, expected, count);
    return false;
}
