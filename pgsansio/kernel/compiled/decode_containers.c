/* Arrays, ranges, multiranges and composites: see the modules of these names in `pgsansio/codecs`.

   A codec that is made of a user's never gets here, so a part may be asked twice: by C, and when the whole is declined
   because of it, by the whole's own function, whose error counts. */

#include "decode.h"

enum {
    MAX_DIMENSIONS = 6,
    RANGE_EMPTY = 1,
    RANGE_LOWER_INCLUSIVE = 2,
    RANGE_UPPER_INCLUSIVE = 4,
    RANGE_LOWER_INFINITE = 8,
    RANGE_UPPER_INFINITE = 16,
    RANGE_ALL_FLAGS = 31,
};

/* The value of a part that decode_value has declined or failed at. NULL without an exception: the whole is declined. */
static Py_NO_INLINE PyObject *
decode_declined_part(const Codec *codec, Reader part)
{
    PyObject *value = PyErr_Occurred() ? NULL : decode_by_codec(codec, part);
    return value != NULL ? value : decline_error();
}

/* The value of a part, which is not NULL's. NULL without an exception: the whole is declined. */
static PyObject *
decode_part(State *state, const Codec *codec, Reader part)
{
    PyObject *value = decode_value(state, codec, part);
    return value != NULL ? value : decode_declined_part(codec, part);
}

/* A length and the part it is of; None for NULL where that may be. */
static PyObject *
decode_sized(State *state, const Codec *codec, Reader *reader, bool may_be_null)
{
    int32_t length;
    Reader part;
    if (!read_int32(reader, &length)) {
        return NULL;
    }
    if (length == NULL_LENGTH && may_be_null) {
        return Py_NewRef(Py_None);
    }
    return read_part(reader, length, &part) ? decode_part(state, codec, part) : NULL;
}

/* Arrays */

/* A list of so many items, NULL yet; nobody may find it before they are there. */
static PyObject *
new_list(Py_ssize_t size)
{
    PyObject *list = PyList_New(size);
    if (list != NULL) {
        PyObject_GC_UnTrack(list);
    }
    return list;
}

/* The elements of a list, by this opcode: where it is a constant there is no switch in the loop. */
static inline Py_ALWAYS_INLINE bool
decode_elements_as(State *state, const Codec *element, Opcode opcode, Py_ssize_t count, PyObject *list, Reader *whole)
{
    /* A copy can be in registers. */
    Reader reader = *whole;
    for (Py_ssize_t index = 0; index < count; index++) {
        int32_t length, number;
        Reader part;
        PyObject *value;
        /* Mostly it is an int4. */
        if (opcode == OP_INT4 && read_sized_int32(&reader, &number)) {
            value = make_int(state, number);
            if (value == NULL) {
                return false;
            }
            PyList_SET_ITEM(list, index, value);
            continue;
        }
        if (!read_int32(&reader, &length)) {
            return false;
        }
        if (read_part(&reader, length, &part)) {
            value = decode_value_as(state, element, opcode, part);
            if (value == NULL) {
                value = decode_declined_part(element, part);
            }
            if (value == NULL) {
                return false;
            }
        }
        else if (length == NULL_LENGTH) {
            value = Py_NewRef(Py_None);
        }
        else {
            return false;
        }
        PyList_SET_ITEM(list, index, value);
    }
    *whole = reader;
    return true;
}

static bool
decode_elements(State *state, const Codec *element, Py_ssize_t count, PyObject *list, Reader *whole)
{
    switch (element->decode_opcode) {
    case OP_INT4:
        return decode_elements_as(state, element, OP_INT4, count, list, whole);
    case OP_INT8:
        return decode_elements_as(state, element, OP_INT8, count, list, whole);
    case OP_FLOAT8:
        return decode_elements_as(state, element, OP_FLOAT8, count, list, whole);
    case OP_TEXT:
        return decode_elements_as(state, element, OP_TEXT, count, list, whole);
    default:
        return decode_elements_as(state, element, element->decode_opcode, count, list, whole);
    }
}

/* Lists of those of the next dimension. */
static PyObject *
decode_dimension(State *state, const Codec *element, const int32_t *sizes, int dimensions, Reader *reader)
{
    PyObject *list = new_list(*sizes);
    if (list == NULL) {
        return NULL;
    }
    bool done = true;
    if (dimensions == 1) {
        done = decode_elements(state, element, *sizes, list, reader);
    }
    for (int32_t index = 0; done && dimensions > 1 && index < *sizes; index++) {
        PyObject *part = decode_dimension(state, element, sizes + 1, dimensions - 1, reader);
        PyList_SET_ITEM(list, index, part);
        done = part != NULL;
    }
    PyObject_GC_Track(list);
    if (!done) {
        Py_CLEAR(list);
    }
    return list;
}

PyObject *
decode_array(State *state, const Codec *codec, Reader reader)
{
    int32_t dimensions, flags;
    uint32_t oid;
    if (!read_int32(&reader, &dimensions) || !read_int32(&reader, &flags) || !read_uint32(&reader, &oid)
        || dimensions < 0 || dimensions > MAX_DIMENSIONS || (flags != 0 && flags != 1)
        || oid != codec->element->oid) {
        return NULL;
    }
    int32_t sizes[MAX_DIMENSIONS];
    int32_t lower;
    for (int index = 0; index < dimensions; index++) {
        if (!read_int32(&reader, &sizes[index]) || !read_int32(&reader, &lower) || sizes[index] < 0) {
            return NULL;
        }
    }
    /* Each element has a length: neither time nor memory follows from a number that the server names. */
    Py_ssize_t room = reader_left(&reader) / 4;
    Py_ssize_t count = dimensions > 0;
    for (int index = 0; index < dimensions; index++) {
        if (sizes[index] != 0 && count > room / sizes[index]) {
            return NULL;
        }
        count *= sizes[index];
    }
    PyObject *list = count == 0 ? PyList_New(0) : decode_dimension(state, codec->element, sizes, dimensions, &reader);
    if (list != NULL && reader_left(&reader) != 0) {
        Py_CLEAR(list);
    }
    return list;
}

/* Ranges */

PyObject *
decode_range(State *state, const Codec *codec, Reader reader)
{
    uint8_t flags;
    if (!read_uint8(&reader, &flags) || flags > RANGE_ALL_FLAGS) {
        return NULL;
    }
    PyObject *lower = Py_NewRef(Py_None);
    PyObject *upper = Py_NewRef(Py_None);
    if (!(flags & (RANGE_EMPTY | RANGE_LOWER_INFINITE))) {
        Py_SETREF(lower, decode_sized(state, codec->element, &reader, false));
    }
    if (lower != NULL && !(flags & (RANGE_EMPTY | RANGE_UPPER_INFINITE))) {
        Py_SETREF(upper, decode_sized(state, codec->element, &reader, false));
    }
    PyObject *range = NULL;
    if (lower != NULL && upper != NULL && reader_left(&reader) == 0) {
        range = state->range_type->tp_alloc(state->range_type, 0);
    }
    if (range == NULL) {
        Py_XDECREF(lower);
        Py_XDECREF(upper);
        return NULL;
    }
    bool lower_inclusive = flags & RANGE_LOWER_INCLUSIVE && lower != Py_None;
    bool upper_inclusive = flags & RANGE_UPPER_INCLUSIVE && upper != Py_None;
    slot_set(range, state->range_empty, PyBool_FromLong(flags & RANGE_EMPTY));
    slot_set(range, state->range_lower, lower);
    slot_set(range, state->range_upper, upper);
    slot_set(range, state->range_lower_inc, PyBool_FromLong(lower_inclusive));
    slot_set(range, state->range_upper_inc, PyBool_FromLong(upper_inclusive));
    return range;
}

PyObject *
decode_multirange(State *state, const Codec *codec, Reader reader)
{
    int32_t count;
    /* A range has one byte at least, and its length four. */
    if (!read_int32(&reader, &count) || count < 0 || count > reader_left(&reader) / 5) {
        return NULL;
    }
    PyObject *list = new_list(count);
    if (list == NULL) {
        return NULL;
    }
    for (int32_t index = 0; index < count; index++) {
        PyObject *range = decode_sized(state, codec->element, &reader, false);
        if (range == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, index, range);
    }
    PyObject_GC_Track(list);
    if (reader_left(&reader) != 0) {
        Py_CLEAR(list);
    }
    return list;
}

/* Composites */

PyObject *
decode_composite(State *state, const Codec *codec, Reader reader)
{
    int32_t count;
    if (!read_int32(&reader, &count) || count != codec->count) {
        return NULL;
    }
    Record *record = record_new(state, state->record_type, codec->columns);
    if (record == NULL) {
        return NULL;
    }
    bool tracked = false;
    for (Py_ssize_t index = 0; index < codec->count; index++) {
        const Codec *member = codec->members[index];
        uint32_t oid;
        PyObject *value = NULL;
        if (read_uint32(&reader, &oid) && oid == member->oid) {
            value = decode_sized(state, member, &reader, true);
        }
        if (value == NULL) {
            record_abandon(record, index);
            return NULL;
        }
        record->values[index] = value;
        tracked |= !member->atomic;
    }
    if (reader_left(&reader) != 0) {
        record_abandon(record, codec->count);
        return NULL;
    }
    if (tracked) {
        PyObject_GC_Track(record);
    }
    return (PyObject *)record;
}
