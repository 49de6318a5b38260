/* encode_bind, encode_many and encode_copy: lists of arguments into one growing buffer. */

#include "kernel.h"

enum {
    BIND = 'B',
    MAX_RESERVED = 1 << 18,
};

/* What stands around the values of a Bind: bytes of the caller's. */
typedef struct {
    const char *data;
    Py_ssize_t size;
} Bytes;

static bool
write_part(Writer *writer, Bytes bytes)
{
    return write_bytes(writer, bytes.data, bytes.size);
}

/* Write the values of a tuple as they stand in a message. False: what is to be said of the one that was refused is
   raised. */
static bool
write_fields(State *state, const ParameterPlan *plan, PyObject *values, PyObject *kind, Py_ssize_t number,
             Writer *writer)
{
    for (Py_ssize_t column = 0; column < plan->count; column++) {
        PyObject *value = PyTuple_GET_ITEM(values, column);
        if (encode_field(state, plan->parameters[column], value, writer) != WRITTEN) {
            raise_refused_argument(state, column, values, kind, number);
            return false;
        }
    }
    return true;
}

/* A Bind, and what follows it. */
typedef struct {
    Bytes names;
    Bytes result_formats;
    Bytes trailer;
    /* By how much names and result formats say that they are longer than they are, as a subclass of bytes can. */
    Py_ssize_t surplus;
} Around;

static bool
take_bytes(PyObject *object, const char *what, Bytes *bytes, Py_ssize_t *surplus)
{
    if (!check_type(object, &PyBytes_Type, what)) {
        return false;
    }
    *bytes = (Bytes){PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object)};
    if (!PyBytes_CheckExact(object)) {
        Py_ssize_t size = PyObject_Size(object);
        if (size < 0) {
            return false;
        }
        *surplus += Py_MIN(size, INT32_MAX) - Py_MIN(bytes->size, INT32_MAX);
    }
    return true;
}

static bool
take_around(Around *around, PyObject *names, PyObject *result_formats, PyObject *trailer)
{
    Py_ssize_t ignored = 0;
    around->surplus = 0;
    return take_bytes(names, "names", &around->names, &around->surplus)
           && take_bytes(result_formats, "result_formats", &around->result_formats, &around->surplus)
           && take_bytes(trailer, "trailer", &around->trailer, &ignored);
}

static bool
write_bind(State *state, const ParameterPlan *plan, const Around *around, PyObject *values, PyObject *kind,
           Py_ssize_t number, Writer *writer)
{
    Py_ssize_t start = writer->used + 1;
    if (!write_uint8(writer, BIND) || !write_int32(writer, 0) || !write_part(writer, around->names)
        || !write_bytes(writer, PyBytes_AS_STRING(plan->head), PyBytes_GET_SIZE(plan->head))
        || !write_fields(state, plan, values, kind, number, writer)
        || !write_part(writer, around->result_formats)) {
        return false;
    }
    Py_ssize_t size = writer->used - start;
    if (size + around->surplus > INT32_MAX) {
        raise_too_long(state);
        return false;
    }
    writer_patch_int32(writer, start, (int32_t)size);
    return write_part(writer, around->trailer);
}

PyObject *
encode_bind(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    Around around;
    if (!check_count("encode_bind", count, 5) || !check_type(args[0], state->parameter_plan_type, "plan")
        || !take_around(&around, args[1], args[3], args[4])) {
        return NULL;
    }
    const ParameterPlan *plan = (const ParameterPlan *)args[0];
    /* A list may change while codecs are called. */
    PyObject *values = PySequence_Tuple(args[2]);
    if (values == NULL) {
        return NULL;
    }
    PyObject *message = NULL;
    if (PyTuple_GET_SIZE(values) != plan->count) {
        PyErr_Format(PyExc_ValueError, "%zd arguments for %zd parameters", PyTuple_GET_SIZE(values), plan->count);
    }
    else {
        Writer writer;
        writer_start(&writer);
        if (write_bind(state, plan, &around, values, state->bind, -1, &writer)) {
            message = writer_finish(&writer);
        }
        writer_discard(&writer);
    }
    Py_DECREF(values);
    return message;
}

/* The arguments that an element of an iterable stands for, as a tuple. */
static PyObject *
arguments_of(State *state, const ParameterPlan *plan, PyObject *element, PyObject *kind, Py_ssize_t number)
{
    if (PyTuple_CheckExact(element) && PyTuple_GET_SIZE(element) == plan->count) {
        return Py_NewRef(element);
    }
    if (PyList_CheckExact(element) && PyList_GET_SIZE(element) == plan->count) {
        return PyList_AsTuple(element);
    }
    PyObject *values = PyObject_CallFunction(state->arguments_of, "OnOn", element, plan->count, kind, number);
    if (values != NULL && !(PyTuple_CheckExact(values) && PyTuple_GET_SIZE(values) == plan->count)) {
        Py_CLEAR(values);
        PyErr_SetString(PyExc_SystemError, "the kernels disagree about arguments");
    }
    return values;
}

/* Encode elements until they fill `max_bytes`: Bind messages, or tuples of COPY if `around` is NULL. */
static PyObject *
encode_elements(State *state, const ParameterPlan *plan, const Around *around, PyObject *elements, PyObject *max_bytes,
                PyObject *index)
{
    Py_ssize_t limit = PyLong_AsSsize_t(max_bytes);
    Py_ssize_t first = PyLong_AsSsize_t(index);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (!PyIter_Check(elements)) {
        PyErr_Format(PyExc_TypeError, "'%s' object is not an iterator", Py_TYPE(elements)->tp_name);
        return NULL;
    }
    PyObject *kind = around == NULL ? state->copy : state->many;
    iternextfunc next = Py_TYPE(elements)->tp_iternext;
    Writer writer;
    writer_start(&writer);
    Py_ssize_t number = first;
    bool is_exhausted = false;
    bool done = true;
    while (done) {
        PyObject *element = next(elements);
        if (element == NULL) {
            is_exhausted = true;
            if (PyErr_Occurred()) {
                done = PyErr_ExceptionMatches(PyExc_StopIteration);
                if (done) {
                    PyErr_Clear();
                }
            }
            break;
        }
        PyObject *values = arguments_of(state, plan, element, kind, number);
        Py_DECREF(element);
        if (values == NULL) {
            done = false;
            break;
        }
        done = around == NULL ? write_uint16(&writer, (uint16_t)plan->count)
                                    && write_fields(state, plan, values, kind, number, &writer)
                              : write_bind(state, plan, around, values, kind, number, &writer);
        Py_DECREF(values);
        number++;
        if (writer.used >= limit) {
            break;
        }
        /* There are many: get at once what they are likely to need. */
        if (done && writer.bytes == NULL && 2 * writer.used > writer.capacity) {
            Py_ssize_t wanted = Py_MIN(limit, MAX_RESERVED);
            done = writer_grow(&writer, wanted + wanted / 16);
        }
    }
    PyObject *result = NULL;
    if (done) {
        PyObject *data = writer_finish(&writer);
        if (data != NULL) {
            result = Py_BuildValue("NnO", data, number - first, is_exhausted ? Py_True : Py_False);
        }
    }
    writer_discard(&writer);
    return result;
}

PyObject *
encode_many(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    Around around;
    if (!check_count("encode_many", count, 7) || !check_type(args[0], state->parameter_plan_type, "plan")
        || !take_around(&around, args[1], args[3], args[4])) {
        return NULL;
    }
    return encode_elements(state, (const ParameterPlan *)args[0], &around, args[2], args[5], args[6]);
}

PyObject *
encode_copy(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    if (!check_count("encode_copy", count, 4) || !check_type(args[0], state->parameter_plan_type, "plan")) {
        return NULL;
    }
    return encode_elements(state, (const ParameterPlan *)args[0], NULL, args[1], args[2], args[3]);
}
