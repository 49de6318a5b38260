/* One value to its bytes: the scalars that are numbers, texts and bytes, and what is made of numbers.

   Only values of exactly the classes that one would expect are encoded here. */

#include "kernel.h"

#include <limits.h>

bool
write_length_at(Writer *writer, Py_ssize_t position)
{
    Py_ssize_t length = writer->used - position - 4;
    if (length > INT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "value of %zd bytes is too long", length);
        return false;
    }
    writer_patch_int32(writer, position, (int32_t)length);
    return true;
}

/* Write bytes that are all of a value; before they are copied, because of those that are too many. */
static bool
write_value_bytes(Writer *writer, const void *data, Py_ssize_t size)
{
    if (size > INT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "value of %zd bytes is too long", size);
        return false;
    }
    return size == 0 || write_bytes(writer, data, size);
}

Encoded
encode_by_codec(const Codec *codec, PyObject *value, Writer *writer)
{
    PyObject *encode = Py_NewRef(codec->encode);
    PyObject *data = PyObject_CallOneArg(encode, value);
    Py_DECREF(encode);
    if (data == NULL) {
        return FAILED;
    }
    bool done = false;
    if (PyBytes_CheckExact(data)) {
        done = write_value_bytes(writer, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data));
    }
    else {
        /* Any buffer will do, as in asyncpg; if it is not contiguous its bytes in C order. */
        PyObject *view = PyMemoryView_FromObject(data);
        PyObject *bytes = view == NULL ? NULL : PyObject_CallMethod(view, "tobytes", NULL);
        if (bytes != NULL) {
            done = write_value_bytes(writer, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
        }
        Py_XDECREF(view);
        Py_XDECREF(bytes);
    }
    Py_DECREF(data);
    return written(done);
}

/* Copy ASCII. False: there is a zero in it. */
static inline bool
copy_without_zero(unsigned char *to, const unsigned char *from, Py_ssize_t size)
{
    if (size < 8) {
        bool is_zero = false;
        for (Py_ssize_t at = 0; at < size; at++) {
            to[at] = from[at];
            is_zero |= from[at] == 0;
        }
        return !is_zero;
    }
    /* One taken from each byte of 1 to 0x7f leaves none above that; from the first zero, 0xff. */
    uint64_t above = 0;
    uint64_t word;
    for (Py_ssize_t at = 0; at < size - 8; at += 8) {
        memcpy(&word, from + at, 8);
        memcpy(to + at, &word, 8);
        above |= word - 0x0101010101010101;
    }
    memcpy(&word, from + size - 8, 8);
    memcpy(to + size - 8, &word, 8);
    above |= word - 0x0101010101010101;
    return (above & 0x8080808080808080) == 0;
}

/* The texts that are copied in passing; longer ones are better looked at by memchr. */
enum { SHORT_TEXT = 256 };

/* As `encode_field`, of the values that there are most of: small numbers and short ASCII. DECLINED: it is none of these,
   and nothing was written. */
static inline Encoded
encode_frequent(const Codec *codec, PyObject *value, Writer *writer)
{
    int32_t number;
    unsigned char *at;
    switch (codec->encode_opcode) {
    case OP_INT4:
    case OP_INT8: {
        if (!PyLong_CheckExact(value) || !small_value(value, &number)) {
            return DECLINED;
        }
        bool is_long = codec->encode_opcode == OP_INT8;
        at = writer_take(writer, is_long ? 12 : 8);
        if (at == NULL) {
            return FAILED;
        }
        store_uint32(at, is_long ? 8 : 4);
        if (is_long) {
            store_uint32(at + 4, number < 0 ? UINT32_MAX : 0);
            at += 4;
        }
        store_uint32(at + 4, (uint32_t)number);
        return WRITTEN;
    }
    case OP_FLOAT8:
        if (!PyFloat_CheckExact(value)) {
            return DECLINED;
        }
        return written(write_int32(writer, 8) && write_float64(writer, PyFloat_AS_DOUBLE(value)));
    case OP_TEXT: {
        if (!PyUnicode_CheckExact(value) || !PyUnicode_IS_COMPACT_ASCII(value)
            || PyUnicode_GET_LENGTH(value) > SHORT_TEXT) {
            return DECLINED;
        }
        Py_ssize_t size = PyUnicode_GET_LENGTH(value);
        at = writer_take(writer, 4 + size);
        if (at == NULL) {
            return FAILED;
        }
        store_uint32(at, (uint32_t)size);
        if (!copy_without_zero(at + 4, PyUnicode_1BYTE_DATA(value), size)) {
            writer_rewind(writer, writer->used - 4 - size);
            return DECLINED;
        }
        return WRITTEN;
    }
    default:
        return DECLINED;
    }
}

Encoded
encode_field(State *state, const Codec *codec, PyObject *value, Writer *writer)
{
    if (value == Py_None) {
        return written(write_int32(writer, NULL_LENGTH));
    }
    Encoded frequent = encode_frequent(codec, value, writer);
    if (frequent != DECLINED) {
        return frequent;
    }
    Py_ssize_t position = writer->used;
    if (!write_int32(writer, 0)) {
        return FAILED;
    }
    Encoded encoded = encode_value(state, codec, value, writer);
    if (encoded == DECLINED) {
        writer_rewind(writer, position + 4);
        encoded = encode_by_codec(codec, value, writer);
    }
    if (encoded == WRITTEN && !write_length_at(writer, position)) {
        return FAILED;
    }
    return encoded;
}

/* An exact int from `low` to `high`. */
static bool
is_int_between(PyObject *value, int64_t low, int64_t high, int64_t *number)
{
    if (!PyLong_CheckExact(value)) {
        return false;
    }
    int overflow;
    *number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow == 0 && *number >= low && *number <= high;
}

static Encoded
encode_uint8(PyObject *value, Writer *writer)
{
    if (!PyLong_CheckExact(value)) {
        return DECLINED;
    }
    unsigned long long number = PyLong_AsUnsignedLongLong(value);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) {
        return decline_encoding();
    }
    return written(write_uint64(writer, number));
}

static Encoded
encode_float4(PyObject *value, Writer *writer)
{
    if (!PyFloat_CheckExact(value)) {
        return DECLINED;
    }
    unsigned char *at = writer_take(writer, 4);
    if (at == NULL) {
        return FAILED;
    }
    return PyFloat_Pack4(PyFloat_AS_DOUBLE(value), (char *)at, 0) == 0 ? WRITTEN : decline_encoding();
}

static Encoded
encode_text(PyObject *value, Writer *writer)
{
    if (!PyUnicode_CheckExact(value)) {
        return DECLINED;
    }
#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(value) < 0) {
        return FAILED;
    }
#endif
    if (PyUnicode_IS_ASCII(value)) {
        const void *data = PyUnicode_1BYTE_DATA(value);
        Py_ssize_t size = PyUnicode_GET_LENGTH(value);
        if (memchr(data, 0, (size_t)size) != NULL) {
            return DECLINED;
        }
        return written(write_bytes(writer, data, size));
    }
    /* Not PyUnicode_AsUTF8AndSize, which would let the text keep the bytes. */
    PyObject *bytes = PyUnicode_AsUTF8String(value);
    if (bytes == NULL) {
        return decline_encoding();
    }
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    Encoded encoded = DECLINED;
    if (memchr(PyBytes_AS_STRING(bytes), 0, (size_t)size) == NULL) {
        encoded = written(write_bytes(writer, PyBytes_AS_STRING(bytes), size));
    }
    Py_DECREF(bytes);
    return encoded;
}

static Encoded
encode_jsonb(PyObject *value, Writer *writer)
{
    return write_uint8(writer, 1) ? encode_text(value, writer) : FAILED;
}

static Encoded
encode_bytes(PyObject *value, Py_ssize_t wanted, Writer *writer)
{
    if (!PyBytes_CheckExact(value) || (wanted >= 0 && PyBytes_GET_SIZE(value) != wanted)) {
        return DECLINED;
    }
    return written(write_value_bytes(writer, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)));
}

static Encoded
encode_uuid(State *state, PyObject *value, Writer *writer)
{
    if (Py_IS_TYPE(value, state->uuid_type)) {
        return written(write_bytes(writer, uuid_bytes(state, value), 16));
    }
    if (!Py_IS_TYPE(value, state->stdlib_uuid_type)) {
        return DECLINED;
    }
    PyObject *number = slot_get(value, state->stdlib_uuid_int);
    unsigned char bytes[16];
    if (number == NULL || !PyLong_CheckExact(number) || !int_to_16_bytes(number, bytes)) {
        return DECLINED;
    }
    return written(write_bytes(writer, bytes, sizeof bytes));
}

static Encoded
encode_tid(PyObject *value, Writer *writer)
{
    int64_t block, offset;
    if (!PyTuple_CheckExact(value) || PyTuple_GET_SIZE(value) != 2
        || !is_int_between(PyTuple_GET_ITEM(value, 0), 0, UINT32_MAX, &block)
        || !is_int_between(PyTuple_GET_ITEM(value, 1), 0, UINT16_MAX, &offset)) {
        return DECLINED;
    }
    return written(write_uint32(writer, (uint32_t)block) && write_uint16(writer, (uint16_t)offset));
}

static Encoded
encode_float8(PyObject *value, Writer *writer)
{
    return PyFloat_CheckExact(value) ? written(write_float64(writer, PyFloat_AS_DOUBLE(value))) : DECLINED;
}

/* The first `count` items of a tuple of exactly this class. */
static Encoded
encode_floats(PyObject *value, PyTypeObject *type, Py_ssize_t count, Writer *writer)
{
    if (!Py_IS_TYPE(value, type) || PyTuple_GET_SIZE(value) != count) {
        return DECLINED;
    }
    Encoded encoded = WRITTEN;
    for (Py_ssize_t index = 0; index < count && encoded == WRITTEN; index++) {
        encoded = encode_float8(PyTuple_GET_ITEM(value, index), writer);
    }
    return encoded;
}

/* Two points, or a point and a float. */
static Encoded
encode_figure(State *state, PyObject *value, PyTypeObject *type, bool has_radius, Writer *writer)
{
    if (!Py_IS_TYPE(value, type) || PyTuple_GET_SIZE(value) != 2) {
        return DECLINED;
    }
    Encoded encoded = encode_floats(PyTuple_GET_ITEM(value, 0), state->point_type, 2, writer);
    if (encoded != WRITTEN) {
        return encoded;
    }
    PyObject *second = PyTuple_GET_ITEM(value, 1);
    return has_radius ? encode_float8(second, writer) : encode_floats(second, state->point_type, 2, writer);
}

Encoded
encode_value(State *state, const Codec *codec, PyObject *value, Writer *writer)
{
    int64_t number;
    switch (codec->encode_opcode) {
    case OP_BOOL:
        return PyBool_Check(value) ? written(write_uint8(writer, value == Py_True)) : DECLINED;
    case OP_INT2:
        return is_int_between(value, INT16_MIN, INT16_MAX, &number) ? written(write_uint16(writer, (uint16_t)number))
                                                                    : DECLINED;
    case OP_INT4:
        return is_int_between(value, INT32_MIN, INT32_MAX, &number) ? written(write_uint32(writer, (uint32_t)number))
                                                                    : DECLINED;
    case OP_INT8:
        return is_int_between(value, INT64_MIN, INT64_MAX, &number) ? written(write_int64(writer, number)) : DECLINED;
    case OP_UINT4:
        return is_int_between(value, 0, UINT32_MAX, &number) ? written(write_uint32(writer, (uint32_t)number))
                                                             : DECLINED;
    case OP_UINT8:
        return encode_uint8(value, writer);
    case OP_FLOAT4:
        return encode_float4(value, writer);
    case OP_FLOAT8:
        return encode_float8(value, writer);
    case OP_TEXT:
        return encode_text(value, writer);
    case OP_JSONB:
        return encode_jsonb(value, writer);
    case OP_BYTEA:
        return encode_bytes(value, -1, writer);
    case OP_CHAR:
        return encode_bytes(value, 1, writer);
    case OP_NUMERIC:
        return encode_numeric(state, value, writer);
    case OP_UUID:
        return encode_uuid(state, value, writer);
    case OP_DATE:
        return encode_date(state, value, writer);
    case OP_TIME:
        return encode_time(state, value, writer);
    case OP_TIMETZ:
        return encode_timetz(state, value, writer);
    case OP_TIMESTAMP:
        return encode_timestamp(state, value, writer);
    case OP_TIMESTAMPTZ:
        return encode_timestamptz(state, value, writer);
    case OP_INTERVAL:
        return encode_interval(state, value, writer);
    case OP_TID:
        return encode_tid(value, writer);
    case OP_POINT:
        return encode_floats(value, state->point_type, 2, writer);
    case OP_LINE:
        return encode_floats(value, state->line_type, 3, writer);
    case OP_LSEG:
        return encode_figure(state, value, state->lseg_type, false, writer);
    case OP_BOX:
        return encode_figure(state, value, state->box_type, false, writer);
    case OP_CIRCLE:
        return encode_figure(state, value, state->circle_type, true, writer);
    case OP_ARRAY:
        return encode_array(state, codec, value, writer);
    case OP_RANGE:
        return encode_range(state, codec, value, writer);
    case OP_MULTIRANGE:
        return encode_multirange(state, codec, value, writer);
    case OP_COMPOSITE:
        return encode_composite(state, codec, value, writer);
    case OP_CALL:
        return DECLINED;
    }
    Py_UNREACHABLE();
}
