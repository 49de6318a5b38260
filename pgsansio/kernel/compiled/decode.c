/* One value from its bytes: the scalars that are numbers, texts and bytes, and what is made of numbers. */

#include "decode.h"

PyObject *
decode_by_codec(const Codec *codec, Reader reader)
{
    PyObject *data = read_bytes(reader);
    if (data == NULL) {
        return NULL;
    }
    /* It may do anything, also drop the plan. */
    PyObject *decode = Py_NewRef(codec->decode);
    PyObject *value = PyObject_CallOneArg(decode, data);
    Py_DECREF(decode);
    Py_DECREF(data);
    return value;
}

/* Copy so many bytes. False: not all of them are ASCII. Eight at a time, the last ones twice if need be: texts are
   short. */
static inline bool
copy_ascii(unsigned char *to, const unsigned char *at, Py_ssize_t size)
{
    uint64_t seen = 0;
    uint64_t eight;
    if (size < 8) {
        for (Py_ssize_t index = 0; index < size; index++) {
            seen |= to[index] = at[index];
        }
    }
    else {
        for (Py_ssize_t index = 0; index < size - 8; index += 8) {
            memcpy(&eight, at + index, 8);
            memcpy(to + index, &eight, 8);
            seen |= eight;
        }
        memcpy(&eight, at + size - 8, 8);
        memcpy(to + size - 8, &eight, 8);
        seen |= eight;
    }
    return (seen & UINT64_C(0x8080808080808080)) == 0;
}

/* Texts up to U+00FF that are not all ASCII, as those of many languages are: one byte or two for each character. NULL
   without an exception: there are others in it, or it is one character, or no UTF-8. */
static PyObject *
decode_latin(Reader reader)
{
    Reader rest = reader;
    Py_ssize_t length = 0;
    uint8_t byte, second;
    for (; read_uint8(&rest, &byte); length++) {
        if (byte >= 0x80 && ((byte & 0xFE) != 0xC2 || !read_uint8(&rest, &second) || (second & 0xC0) != 0x80)) {
            return NULL;
        }
    }
    if (length < 2) {
        return NULL;
    }
    PyObject *text = PyUnicode_New(length, 0xFF);
    if (text == NULL) {
        return NULL;
    }
    Py_UCS1 *to = PyUnicode_1BYTE_DATA(text);
    for (rest = reader; read_uint8(&rest, &byte); to++) {
        *to = byte;
        if (byte >= 0x80 && read_uint8(&rest, &second)) {
            *to = (Py_UCS1)(byte << 6 | (second & 0x3F));
        }
    }
    return text;
}

PyObject *
decode_text(Reader reader)
{
    Py_ssize_t size = reader_left(&reader);
    /* Python has the shorter ones once. */
    if (size > 1) {
        unsigned char *data;
        PyObject *text = make_ascii(size, &data);
        if (text == NULL || copy_ascii(data, reader.at, size)) {
            return text;
        }
        Py_DECREF(text);
        text = decode_latin(reader);
        if (text != NULL || PyErr_Occurred()) {
            return text;
        }
    }
    PyObject *text = PyUnicode_DecodeUTF8((const char *)reader.at, size, NULL);
    return text != NULL ? text : decline_error();
}

static PyObject *
decode_jsonb(Reader reader)
{
    uint8_t version;
    return read_uint8(&reader, &version) && version == 1 ? decode_text(reader) : NULL;
}

static PyObject *
decode_float4(Reader reader)
{
    if (reader_left(&reader) != 4) {
        return NULL;
    }
    double value = PyFloat_Unpack4((const char *)reader.at, 0);
    return PyFloat_FromDouble(value);
}

static PyObject *
decode_tid(Reader reader)
{
    uint32_t block;
    uint16_t offset;
    if (!read_uint32(&reader, &block) || !read_uint16(&reader, &offset) || reader_left(&reader) != 0) {
        return NULL;
    }
    return Py_BuildValue("kH", (unsigned long)block, offset);
}

/* The geometric types: tuples of floats and of points. */

static PyObject *
tuple_of_class(PyTypeObject *type, Py_ssize_t size)
{
    PyObject *tuple = type->tp_alloc(type, size);
    return tuple;
}

/* Replace what stands at an index, NULL or not, by a float. */
static bool
set_float(PyObject *tuple, Py_ssize_t index, Reader *reader)
{
    double number;
    PyObject *value = read_float64(reader, &number) ? PyFloat_FromDouble(number) : NULL;
    PyTuple_SET_ITEM(tuple, index, value);
    return value != NULL;
}

static PyObject *
decode_floats(PyTypeObject *type, Py_ssize_t count, Reader *reader)
{
    PyObject *tuple = tuple_of_class(type, count);
    if (tuple == NULL) {
        return NULL;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        if (!set_float(tuple, index, reader)) {
            Py_DECREF(tuple);
            return NULL;
        }
    }
    return tuple;
}

/* Two points, or a point and a float. */
static PyObject *
decode_figure(State *state, PyTypeObject *type, bool has_radius, Reader reader)
{
    if (reader_left(&reader) != (has_radius ? 24 : 32)) {
        return NULL;
    }
    PyObject *tuple = tuple_of_class(type, 2);
    if (tuple == NULL) {
        return NULL;
    }
    PyObject *point = decode_floats(state->point_type, 2, &reader);
    PyTuple_SET_ITEM(tuple, 0, point);
    bool done = point != NULL;
    if (done && has_radius) {
        done = set_float(tuple, 1, &reader);
    }
    else if (done) {
        point = decode_floats(state->point_type, 2, &reader);
        PyTuple_SET_ITEM(tuple, 1, point);
        done = point != NULL;
    }
    if (!done) {
        Py_DECREF(tuple);
        return NULL;
    }
    return tuple;
}

PyObject *
decode_other_value(State *state, const Codec *codec, Reader reader)
{
    Py_ssize_t size = reader_left(&reader);
    switch (codec->decode_opcode) {
    case OP_UINT8: {
        uint64_t value;
        return size == 8 && read_uint64(&reader, &value) ? PyLong_FromUnsignedLongLong(value) : NULL;
    }
    case OP_FLOAT4:
        return decode_float4(reader);
    case OP_JSONB:
        return decode_jsonb(reader);
    case OP_NUMERIC:
        return decode_numeric(state, reader);
    case OP_UUID:
        return size == 16 ? uuid_new(state, reader.at) : NULL;
    case OP_DATE:
        return decode_date(state, reader);
    case OP_TIME:
        return decode_time(state, reader);
    case OP_TIMETZ:
        return decode_timetz(state, reader);
    case OP_TIMESTAMP:
        return decode_timestamp(state, reader, Py_None);
    case OP_TIMESTAMPTZ:
        return decode_timestamp(state, reader, state->datetime->TimeZone_UTC);
    case OP_INTERVAL:
        return decode_interval(state, reader);
    case OP_TID:
        return decode_tid(reader);
    case OP_POINT:
        return size == 16 ? decode_floats(state->point_type, 2, &reader) : NULL;
    case OP_LINE:
        return size == 24 ? decode_floats(state->line_type, 3, &reader) : NULL;
    case OP_LSEG:
        return decode_figure(state, state->lseg_type, false, reader);
    case OP_BOX:
        return decode_figure(state, state->box_type, false, reader);
    case OP_CIRCLE:
        return decode_figure(state, state->circle_type, true, reader);
    case OP_ARRAY:
        return decode_array(state, codec, reader);
    case OP_RANGE:
        return decode_range(state, codec, reader);
    case OP_MULTIRANGE:
        return decode_multirange(state, codec, reader);
    case OP_COMPOSITE:
        return decode_composite(state, codec, reader);
    default:
        return NULL;
    }
}
