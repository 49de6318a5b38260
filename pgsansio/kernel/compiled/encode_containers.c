/* Arrays, ranges, multiranges and composites: of lists, tuples and Ranges of exactly these classes, whose parts are
   ordinary or taken by their codecs. Whatever is refused is refused by the whole's own function, in its words. */

#include "kernel.h"

enum {
    RANGE_EMPTY = 1,
    RANGE_LOWER_INCLUSIVE = 2,
    RANGE_UPPER_INCLUSIVE = 4,
    RANGE_LOWER_INFINITE = 8,
    RANGE_UPPER_INFINITE = 16,
};

/* A part with its length, or that of NULL; what is refused is declined. */
static Encoded
encode_part(State *state, const Codec *codec, PyObject *value, Writer *writer)
{
    /* Calls of Python's may change the list or the Range that it is from. */
    Py_INCREF(value);
    Encoded encoded = encode_field(state, codec, value, writer);
    Py_DECREF(value);
    return encoded == FAILED ? decline_encoding() : encoded;
}

static bool
is_list_or_tuple(PyObject *value)
{
    return PyList_CheckExact(value) || PyTuple_CheckExact(value);
}

/* Arrays: nested lists, of scalars and of ranges. How deep they are the first elements say; whatever is not as regular as
   that is declined. A tuple within a list is left to the codec, for which it is mostly an element. */

enum {
    MAX_DIMENSIONS = 6,
    /* As in `pgsansio/codecs/codec.py`. */
    MAX_ITEMS = (1 << 27) - 1,
};

/* Write the elements of a list or tuple that is so many dimensions deep. */
static Encoded
encode_elements(State *state, const Codec *element, PyObject *list, const Py_ssize_t *sizes, int dimensions,
                Py_ssize_t header, Writer *writer)
{
    for (Py_ssize_t index = 0; index < *sizes; index++) {
        /* Calls of Python's may have changed it. */
        if (PySequence_Fast_GET_SIZE(list) != *sizes) {
            return DECLINED;
        }
        PyObject *item = PySequence_Fast_GET_ITEM(list, index);
        Encoded encoded;
        if (dimensions > 1) {
            if (!PyList_CheckExact(item) || PyList_GET_SIZE(item) != sizes[1]) {
                return DECLINED;
            }
            Py_INCREF(item);
            encoded = encode_elements(state, element, item, sizes + 1, dimensions - 1, header, writer);
            Py_DECREF(item);
            if (encoded != WRITTEN) {
                return encoded;
            }
            continue;
        }
        if (item == Py_None) {
            writer_patch_int32(writer, header + 4, 1);
            if (!write_int32(writer, NULL_LENGTH)) {
                return FAILED;
            }
            continue;
        }
        Py_ssize_t position = writer->used;
        if (!write_int32(writer, 0)) {
            return FAILED;
        }
        Py_INCREF(item);
        encoded = encode_value(state, element, item, writer);
        Py_DECREF(item);
        if (encoded != WRITTEN) {
            return encoded;
        }
        if (!write_length_at(writer, position)) {
            return decline_encoding();
        }
    }
    return WRITTEN;
}

Encoded
encode_array(State *state, const Codec *codec, PyObject *value, Writer *writer)
{
    if (!is_list_or_tuple(value)) {
        return DECLINED;
    }
    const Codec *element = codec->element;
    Py_ssize_t sizes[MAX_DIMENSIONS];
    int dimensions = 0;
    Py_ssize_t items = 1;
    bool is_empty;
    PyObject *first = value;
    /* What contains itself is too deep. */
    do {
        Py_ssize_t size = PySequence_Fast_GET_SIZE(first);
        is_empty = size == 0;
        if (dimensions == MAX_DIMENSIONS || size > MAX_ITEMS / items || (is_empty && dimensions > 0)) {
            return DECLINED;
        }
        sizes[dimensions++] = size;
        items *= size;
        first = is_empty ? Py_None : PySequence_Fast_GET_ITEM(first, 0);
    } while (PyList_CheckExact(first));
    Py_ssize_t header = writer->used;
    if (!write_int32(writer, is_empty ? 0 : dimensions) || !write_int32(writer, 0)
        || !write_uint32(writer, element->oid)) {
        return FAILED;
    }
    if (is_empty) {
        return WRITTEN;
    }
    for (int index = 0; index < dimensions; index++) {
        if (!write_int32(writer, (int32_t)sizes[index]) || !write_int32(writer, 1)) {
            return FAILED;
        }
    }
    return encode_elements(state, element, value, sizes, dimensions, header, writer);
}

/* Ranges */

Encoded
encode_range(State *state, const Codec *codec, PyObject *value, Writer *writer)
{
    if (!Py_IS_TYPE(value, state->range_type)) {
        return DECLINED;
    }
    PyObject *lower = slot_get(value, state->range_lower);
    PyObject *upper = slot_get(value, state->range_upper);
    PyObject *empty = slot_get(value, state->range_empty);
    if (lower == NULL || upper == NULL || empty == NULL) {
        return DECLINED;
    }
    if (empty == Py_True) {
        return written(write_uint8(writer, RANGE_EMPTY));
    }
    uint8_t flags = 0;
    if (lower == Py_None) {
        flags |= RANGE_LOWER_INFINITE;
    }
    else if (slot_get(value, state->range_lower_inc) == Py_True) {
        flags |= RANGE_LOWER_INCLUSIVE;
    }
    if (upper == Py_None) {
        flags |= RANGE_UPPER_INFINITE;
    }
    else if (slot_get(value, state->range_upper_inc) == Py_True) {
        flags |= RANGE_UPPER_INCLUSIVE;
    }
    if (!write_uint8(writer, flags)) {
        return FAILED;
    }
    Py_INCREF(upper);
    Encoded encoded = WRITTEN;
    if (lower != Py_None) {
        encoded = encode_part(state, codec->element, lower, writer);
    }
    if (encoded == WRITTEN && upper != Py_None) {
        encoded = encode_part(state, codec->element, upper, writer);
    }
    Py_DECREF(upper);
    return encoded;
}

Encoded
encode_multirange(State *state, const Codec *codec, PyObject *value, Writer *writer)
{
    if (!PyList_CheckExact(value) || PyList_GET_SIZE(value) > INT32_MAX) {
        return DECLINED;
    }
    Py_ssize_t count = PyList_GET_SIZE(value);
    if (!write_int32(writer, (int32_t)count)) {
        return FAILED;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        if (index >= PyList_GET_SIZE(value) || PyList_GET_ITEM(value, index) == Py_None) {
            return DECLINED;
        }
        Encoded encoded = encode_part(state, codec->element, PyList_GET_ITEM(value, index), writer);
        if (encoded != WRITTEN) {
            return encoded;
        }
    }
    return WRITTEN;
}

/* Composites */

Encoded
encode_composite(State *state, const Codec *codec, PyObject *value, Writer *writer)
{
    if (!is_list_or_tuple(value) || PySequence_Fast_GET_SIZE(value) != codec->count) {
        return DECLINED;
    }
    if (!write_int32(writer, (int32_t)codec->count)) {
        return FAILED;
    }
    for (Py_ssize_t index = 0; index < codec->count; index++) {
        const Codec *member = codec->members[index];
        if (index >= PySequence_Fast_GET_SIZE(value)) {
            return DECLINED;
        }
        if (!write_uint32(writer, member->oid)) {
            return FAILED;
        }
        Encoded encoded = encode_part(state, member, PySequence_Fast_GET_ITEM(value, index), writer);
        if (encoded != WRITTEN) {
            return encoded;
        }
    }
    return WRITTEN;
}
