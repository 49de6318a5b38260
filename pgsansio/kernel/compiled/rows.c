/* decode_rows and decode_copy.

   A row's values are decoded as its lengths are read. Only before the first function of Python's is called are the rest
   of its lengths looked at: so a user's codec never sees a value of a row that is broken, and no value twice. */

#include "decode.h"

enum { DATA_ROW = 'D' };

typedef enum {
    FIELDS_WHOLE,
    /* There are not enough bytes. */
    FIELDS_SHORT,
    /* A length is negative, and not that of NULL. */
    FIELDS_WRONG,
} Fields;

static Fields
skip_fields(Reader *reader, Py_ssize_t count)
{
    for (; count > 0; count--) {
        int32_t length;
        Reader part;
        if (!read_int32(reader, &length)) {
            return FIELDS_SHORT;
        }
        if (length == NULL_LENGTH) {
            continue;
        }
        if (length < 0) {
            return FIELDS_WRONG;
        }
        if (!read_part(reader, length, &part)) {
            return FIELDS_SHORT;
        }
    }
    return FIELDS_WHOLE;
}

static bool
is_whole_row(Reader fields, Py_ssize_t count)
{
    return skip_fields(&fields, count) == FIELDS_WHOLE && reader_left(&fields) == 0;
}

/* The value that decode_value has declined or failed at, by the codec's own function. `rest` is the rest of the row, of
   `count` fields, which is looked at once. NULL without an exception: the row is broken. */
static Py_NO_INLINE PyObject *
decode_declined(const Codec *codec, Reader field, Reader rest, Py_ssize_t count, bool *is_whole)
{
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (!*is_whole && !is_whole_row(rest, count)) {
        return NULL;
    }
    *is_whole = true;
    return decode_by_codec(codec, field);
}

/* What decode_row says in place of a column. */
enum { ROW_BROKEN = -1 };

/* A record of these fields. NULL: the row is broken, and *refused is ROW_BROKEN; or the value of the column *refused was
   refused by the exception that is set. */
static inline Py_ALWAYS_INLINE Record *
decode_row(State *state, const RowPlan *plan, Reader fields, Py_ssize_t *refused)
{
    Record *record = record_new(state, plan->record_class, plan->columns);
    if (record == NULL) {
        *refused = 0;
        return NULL;
    }
    bool is_whole = false;
    const Py_ssize_t count = plan->count;
    Codec *const *codecs = plan->columns_codecs;
    Py_ssize_t column;
    for (column = 0; column < count; column++) {
        int32_t length;
        Reader field;
        PyObject *value;
        if (!read_int32(&fields, &length)) {
            goto broken;
        }
        if (read_part(&fields, length, &field)) {
            const Codec *codec = codecs[column];
            value = decode_value(state, codec, field);
            if (value == NULL) {
                value = decode_declined(codec, field, fields, count - column - 1, &is_whole);
                if (value == NULL && PyErr_Occurred()) {
                    *refused = column;
                    record_abandon(record, column);
                    return NULL;
                }
                if (value == NULL) {
                    goto broken;
                }
            }
        }
        else if (length == NULL_LENGTH) {
            value = Py_NewRef(Py_None);
        }
        else {
            goto broken;
        }
        record->values[column] = value;
    }
    if (reader_left(&fields) != 0) {
        goto broken;
    }
    if (plan->tracked) {
        PyObject_GC_Track(record);
    }
    return record;
broken:
    *refused = ROW_BROKEN;
    record_abandon(record, column);
    return NULL;
}

/* What both functions are called with. */
typedef struct {
    State *state;
    RowPlan *plan;
    Py_buffer buffer;
    Py_ssize_t start;
    Py_ssize_t end;
    PyObject *rows;
    Py_ssize_t max_rows;
} Call;

static bool
begin(Call *call, PyObject *module, const char *function, PyObject *const *args, Py_ssize_t count)
{
    call->state = PyModule_GetState(module);
    if (!check_count(function, count, 6) || !check_type(args[0], call->state->row_plan_type, "plan")
        || !check_type(args[4], &PyList_Type, "rows")) {
        return false;
    }
    call->plan = (RowPlan *)args[0];
    call->rows = args[4];
    call->start = PyLong_AsSsize_t(args[2]);
    call->end = PyLong_AsSsize_t(args[3]);
    call->max_rows = PyLong_AsSsize_t(args[5]);
    if (PyErr_Occurred()) {
        return false;
    }
    /* While it is held nobody can resize a bytearray, whatever a codec does. */
    return PyObject_GetBuffer(args[1], &call->buffer, PyBUF_SIMPLE) == 0;
}

/* Append the row of these fields. False: stop, and *refusal is the error of a value; if it is NULL, raise. */
static inline Py_ALWAYS_INLINE bool
append_row(State *state, RowPlan *plan, Reader fields, PyObject *rows, PyObject *broken, Reader frame,
           PyObject **refusal)
{
    Py_ssize_t column;
    Record *record = decode_row(state, plan, fields, &column);
    if (record == NULL) {
        if (column == ROW_BROKEN) {
            raise_broken(broken, frame, plan->count);
        }
        else {
            *refusal = take_refusal(state, plan, column);
        }
        return false;
    }
    return append_new(rows, (PyObject *)record);
}

/* The result: where the reader is, and the error; or NULL, if an exception is set. */
static PyObject *
finish(Call *call, Reader data, PyObject *refusal)
{
    Py_ssize_t position = data.at - (const unsigned char *)call->buffer.buf;
    PyBuffer_Release(&call->buffer);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return Py_BuildValue("nN", position, refusal != NULL ? refusal : Py_NewRef(Py_None));
}

bool
decode_run(State *state, RowPlan *plan, Reader *data, PyObject *rows, Py_ssize_t max_rows, PyObject **refusal)
{
    for (; max_rows > 0; max_rows--) {
        Reader rest = *data;
        Reader frame, fields;
        uint8_t tag;
        int32_t size;
        uint16_t columns;
        if (!read_uint8(&rest, &tag) || tag != DATA_ROW || !read_int32(&rest, &size)) {
            return true;
        }
        /* The size counts itself, and the number of columns follows. */
        bool is_broken = size < 6;
        if (!is_broken && !read_part(&rest, size - 4, &fields)) {
            return true;
        }
        frame = (Reader){data->at, rest.at};
        if (is_broken || !read_uint16(&fields, &columns) || columns != plan->count) {
            raise_broken(state->broken_row, frame, plan->count);
            return false;
        }
        bool appended = append_row(state, plan, fields, rows, state->broken_row, frame, refusal);
        if (appended || *refusal != NULL) {
            *data = rest;
        }
        if (!appended) {
            return false;
        }
    }
    return true;
}

PyObject *
decode_rows(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Call call;
    if (!begin(&call, module, "decode_rows", args, count)) {
        return NULL;
    }
    Reader data = reader_over(call.buffer.buf, call.buffer.len, call.start, call.end);
    PyObject *refusal = NULL;
    decode_run(call.state, call.plan, &data, call.rows, call.max_rows, &refusal);
    return finish(&call, data, refusal);
}

PyObject *
decode_copy(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Call call;
    if (!begin(&call, module, "decode_copy", args, count)) {
        return NULL;
    }
    Reader data = reader_over(call.buffer.buf, call.buffer.len, call.start, call.end);
    PyObject *refusal = NULL;
    for (Py_ssize_t room = call.max_rows; room > 0; room--) {
        Reader rest = data;
        uint16_t columns;
        /* 0xFFFF is the trailer. A tuple says nowhere how long it is. */
        if (!read_uint16(&rest, &columns) || columns == 0xFFFF) {
            break;
        }
        Reader fields = rest;
        Fields found = columns == call.plan->count ? skip_fields(&rest, columns) : FIELDS_WRONG;
        if (found == FIELDS_SHORT) {
            break;
        }
        if (found == FIELDS_WRONG) {
            raise_broken(call.state->broken_tuple, data, call.plan->count);
            break;
        }
        fields.end = rest.at;
        bool appended = append_row(call.state, call.plan, fields, call.rows, call.state->broken_tuple, data, &refusal);
        if (appended || refusal != NULL) {
            data = rest;
        }
        if (!appended) {
            break;
        }
    }
    return finish(&call, data, refusal);
}
