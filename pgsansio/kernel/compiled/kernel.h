/* The compiled kernel: what its parts share.

   It fills `pgsansio/kernel/contract.py`, whose definition in Python is `pgsansio/kernel/pure`. How it stays equal to
   that: a function here handles the values that one sees every day. Whatever else it meets (infinity, a wrong length,
   an odd class) it *declines*: it returns NULL, or DECLINED, without an exception, and the codec's own function in
   Python decides, whose result or error counts. Errors are made by the functions of the pure kernel.

   module.c     the module, its state, what it takes from Python
   record.c     Record          uuid.c   UUID
   plan.c       Codec (a ValueCodec, as C sees it), RowPlan, ParameterPlan
   rows.c       decode_rows, decode_copy           decode*.c   one value
   parameters.c encode_bind, _many, _copy          encode*.c   one value
   messages.c   take_messages      copy_data.c   join_copy_data
   operation.c, session.c, buffer.c   *State
   errors.c     who raised what
   reader.h, writer.h   bounds                     compat.h    versions of Python
   make.h       ints and texts, made in place

   There is no mutable static data: all state belongs to the module object. */

#ifndef PGSANSIO_KERNEL_H
#define PGSANSIO_KERNEL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#ifdef __GNUC__
/* Its pointer to datetime's functions is static: it stays unused, the module's state has one. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#endif
#include <datetime.h>
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif
#include <stdbool.h>
#include <stdint.h>

#include "compat.h"
#include "reader.h"
#include "writer.h"

/* As in contract.py. */
enum {
    CONTRACT_VERSION = 9,
    NULL_LENGTH = -1,
};

typedef enum {
    OP_CALL,
    OP_BOOL,
    OP_INT2,
    OP_INT4,
    OP_INT8,
    OP_UINT4,
    OP_FLOAT4,
    OP_FLOAT8,
    OP_NUMERIC,
    OP_TEXT,
    OP_BYTEA,
    OP_UUID,
    OP_DATE,
    OP_TIME,
    OP_TIMETZ,
    OP_TIMESTAMP,
    OP_TIMESTAMPTZ,
    OP_INTERVAL,
    OP_JSONB,
    OP_ARRAY,
    OP_CHAR,
    OP_UINT8,
    OP_TID,
    OP_POINT,
    OP_LINE,
    OP_LSEG,
    OP_BOX,
    OP_CIRCLE,
    OP_RANGE,
    OP_MULTIRANGE,
    OP_COMPOSITE,
} Opcode;

enum {
    /* Records of up to so many values are kept for the next ones, and so many of each size. */
    FREE_RECORD_VALUES = 20,
    FREE_RECORDS = 1024,
    FREE_UUIDS = 1024,
    /* The ints that Python has once: from -5 to 256. */
    SMALL_INTS_NEGATIVE = 5,
    SMALL_INTS = SMALL_INTS_NEGATIVE + 257,
};

typedef struct Record Record;

/* A slot of a class that Python defines, by its place in the object. */
typedef Py_ssize_t Slot;

typedef struct {
    PyTypeObject *record_type;
    PyTypeObject *record_iterator_type;
    PyTypeObject *columns_type;
    PyTypeObject *uuid_type;
    PyTypeObject *codec_type;
    PyTypeObject *row_plan_type;
    PyTypeObject *parameter_plan_type;
    PyTypeObject *operation_type;
    PyTypeObject *session_type;
    PyTypeObject *buffer_type;
    PyTypeObject *giving_type;
    PyTypeObject *resource_type;
    PyTypeObject *rows_type;

    /* datetime's functions and classes; they belong to the process, as it does. */
    const PyDateTime_CAPI *datetime;
    PyTypeObject *timezone_type;
    PyObject *utcoffset;

    PyTypeObject *decimal_type;
    PyTypeObject *point_type;
    PyTypeObject *line_type;
    PyTypeObject *lseg_type;
    PyTypeObject *box_type;
    PyTypeObject *circle_type;

    /* uuid.UUID, and where it keeps what it has; its subclass here keeps 16 bytes behind all of its slots. */
    PyTypeObject *stdlib_uuid_type;
    Slot stdlib_uuid_int;
    Slot stdlib_uuid_is_safe;
    Slot uuid_bytes;
    PyObject *safe_unknown;

    PyTypeObject *range_type;
    Slot range_empty;
    Slot range_lower;
    Slot range_upper;
    Slot range_lower_inc;
    Slot range_upper_inc;

    /* contract.py's and enums.py's */
    PyObject *binary_format;
    PyObject *pending;
    PyObject *completed;
    PyObject *open;
    PyObject *status_idle;
    PyObject *status_in_block;
    PyObject *status_failed;
    PyObject *step;
    PyObject *same;
    PyObject *run;
    PyObject *end;
    PyObject *after_copy;

    /* Actions of the table that are done here, mostly. */
    PyObject *take_rows;
    PyObject *portal_suspended;
    PyObject *command_complete;
    PyObject *batch_complete;
    PyObject *statement_complete;
    PyObject *ready;
    PyObject *passed_over;

    /* Functions of the pure kernel, for what is rare. */
    PyObject *refused_value;
    PyObject *broken_row;
    PyObject *broken_tuple;
    PyObject *refused_argument;
    PyObject *arguments_of;
    PyObject *parameter_head;
    PyObject *too_long;
    PyObject *fields_repr;
    PyObject *zone_west;

    PyObject *small_ints[SMALL_INTS];

    /* "bind", "many", "copy": how they are told what was encoded. */
    PyObject *bind;
    PyObject *many;
    PyObject *copy;
    PyObject *popleft;
    PyObject *append;
    /* "_releases" */
    PyObject *releases;

#ifndef Py_GIL_DISABLED
    /* Records that were given back, by the number of their values; linked by `columns`. They keep their class. */
    Record *free_records[FREE_RECORD_VALUES + 1];
    int free_counts[FREE_RECORD_VALUES + 1];
    /* Likewise; linked by what is in place of their bytes. */
    PyObject *free_uuids;
    int free_uuid_count;
    /* One is enough: each is of use to one `await`. */
    PyObject *free_giving;
#endif
} State;

State *state_of_type(PyTypeObject *type);
/* Of a class that may be a subclass; NULL and an exception if it is none of ours. */
State *state_of_subtype(PyTypeObject *type);

/* The value in a slot, borrowed; NULL: it is empty. */
static inline PyObject *
slot_get(PyObject *object, Slot slot)
{
    return *(PyObject **)((char *)object + slot);
}

/* Use an object again that was not given back to the allocator when nobody used it any more. */
static inline void
revive(PyObject *object)
{
#ifdef Py_REF_DEBUG
    _Py_NewReference(object);
#else
    Py_SET_REFCNT(object, 1);
#endif
}

/* Fill an empty slot; takes the reference. */
static inline void
slot_set(PyObject *object, Slot slot, PyObject *value)
{
    *(PyObject **)((char *)object + slot) = value;
}

/* record.c */

/* The column names of a result, shared by its records. */
typedef struct {
    PyObject_HEAD
    /* A tuple of str; they may repeat. */
    PyObject *names;
    /* A dict, name -> position; of equal names the last. */
    PyObject *positions;
    State *state;
} Columns;

struct Record {
    PyObject_VAR_HEAD
    Columns *columns;
    PyObject *values[];
};

bool record_types_init(PyObject *module, State *state);
void records_free(State *state);
Columns *columns_new(State *state, PyObject *names);
/* A record that has no values yet, and which the collector does not know of. */
Record *record_new(State *state, PyTypeObject *record_class, Columns *columns);
/* Free such a record, of which the first `filled` values are there. */
void record_abandon(Record *self, Py_ssize_t filled);
/* A record of these values, one per column; `values` is a tuple. */
PyObject *record_of(State *state, PyTypeObject *record_class, Columns *columns, PyObject *values);

/* uuid.c */

bool uuid_type_init(PyObject *module, State *state);
void uuids_free(State *state);
PyObject *uuid_new(State *state, const unsigned char *bytes);
/* The 16 bytes of a UUID that is of exactly this class. */
const unsigned char *uuid_bytes(State *state, PyObject *uuid);

/* plan.c */

/* A ValueCodec as C sees it. */
typedef struct Codec Codec;
struct Codec {
    PyObject_HEAD
    /* What is done here; CALL: by the functions `decode` and `encode`. */
    Opcode decode_opcode;
    Opcode encode_opcode;
    uint32_t oid;
    /* It is a user's, or made of one: such codecs are called last, and once. */
    bool user;
    bool atomic;
    int height;
    PyObject *decode;
    PyObject *encode;
    Codec *element;
    Py_ssize_t count;
    Codec **members;
    /* Of a composite type. */
    Columns *columns;
};

typedef struct {
    PyObject_HEAD
    PyObject *names;
    PyObject *codecs;
    PyTypeObject *record_class;
    Columns *columns;
    /* The collector has to know of the rows. */
    bool tracked;
    Py_ssize_t count;
    Codec **columns_codecs;
} RowPlan;

typedef struct {
    PyObject_HEAD
    PyObject *codecs;
    /* What stands in a Bind between its names and its values: format codes and number of parameters. */
    PyObject *head;
    Py_ssize_t count;
    Codec **parameters;
} ParameterPlan;

bool plan_types_init(PyObject *module, State *state);
PyObject *make_row_plan(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_parameter_plan(PyObject *module, PyObject *codecs);

/* decode.h, decode.c, decode_date_time.c, decode_numeric.c, decode_containers.c */

/* The value of these bytes, of an opcode that decode_value does not know. NULL without an exception: declined. */
PyObject *decode_other_value(State *state, const Codec *codec, Reader reader);
PyObject *decode_text(Reader reader);
/* What the codec's own function makes of these bytes. */
PyObject *decode_by_codec(const Codec *codec, Reader reader);
PyObject *decode_date(State *state, Reader reader);
PyObject *decode_time(State *state, Reader reader);
PyObject *decode_timetz(State *state, Reader reader);
/* `zone`: None or UTC. */
PyObject *decode_timestamp(State *state, Reader reader, PyObject *zone);
PyObject *decode_interval(State *state, Reader reader);
PyObject *decode_numeric(State *state, Reader reader);
PyObject *decode_array(State *state, const Codec *codec, Reader reader);
PyObject *decode_range(State *state, const Codec *codec, Reader reader);
PyObject *decode_multirange(State *state, const Codec *codec, Reader reader);
PyObject *decode_composite(State *state, const Codec *codec, Reader reader);

/* rows.c */

/* Decode a run of DataRow messages. False: `data` is where it stopped because of *refusal, the error of a row that it is
   behind; or, if that is NULL, because of the exception that is set. */
bool decode_run(State *state, RowPlan *plan, Reader *data, PyObject *rows, Py_ssize_t max_rows, PyObject **refusal);
PyObject *decode_rows(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *decode_copy(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* encode.c, encode_date_time.c, encode_numeric.c, encode_containers.c */

typedef enum {
    /* An exception is set. */
    FAILED = -1,
    WRITTEN,
    /* Nothing counts that was written: the caller rewinds. */
    DECLINED,
} Encoded;

static inline Encoded
written(bool done)
{
    return done ? WRITTEN : FAILED;
}

/* Write the bytes of a value that is not None, without their length. */
Encoded encode_value(State *state, const Codec *codec, PyObject *value, Writer *writer);
/* Write what the codec's own function makes of a value: WRITTEN or FAILED. */
Encoded encode_by_codec(const Codec *codec, PyObject *value, Writer *writer);
/* Write a value or None as it stands in a message, its length and its bytes: WRITTEN or FAILED. */
Encoded encode_field(State *state, const Codec *codec, PyObject *value, Writer *writer);
/* Set the length of what was written behind the place of that length; an OverflowError if it is too long. */
bool write_length_at(Writer *writer, Py_ssize_t position);
Encoded encode_date(State *state, PyObject *value, Writer *writer);
Encoded encode_time(State *state, PyObject *value, Writer *writer);
Encoded encode_timetz(State *state, PyObject *value, Writer *writer);
Encoded encode_timestamp(State *state, PyObject *value, Writer *writer);
Encoded encode_timestamptz(State *state, PyObject *value, Writer *writer);
Encoded encode_interval(State *state, PyObject *value, Writer *writer);
Encoded encode_numeric(State *state, PyObject *value, Writer *writer);
Encoded encode_array(State *state, const Codec *codec, PyObject *value, Writer *writer);
Encoded encode_range(State *state, const Codec *codec, PyObject *value, Writer *writer);
Encoded encode_multirange(State *state, const Codec *codec, PyObject *value, Writer *writer);
Encoded encode_composite(State *state, const Codec *codec, PyObject *value, Writer *writer);

/* parameters.c */

PyObject *encode_bind(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *encode_many(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *encode_copy(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* operation.c, session.c, buffer.c, messages.c */

bool operation_type_init(PyObject *module, State *state);
bool session_type_init(PyObject *module, State *state);
bool buffer_type_init(PyObject *module, State *state);

/* giving.c */

bool giving_types_init(PyObject *module, State *state);
void giving_free(State *state);
PyObject *take_messages(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* copy_data.c */

PyObject *join_copy_data(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* errors.c */

/* The exception that is set is none of a value: it has to go through. */
bool error_goes_through(void);
/* Clear the exception that is set, if it may be cleared; NULL, so that the value is declined. */
PyObject *decline_error(void);
/* The same for an encoder. */
Encoded decline_encoding(void);
/* What to return for the exception that is set, which the codec of that column has raised; NULL: raise. */
PyObject *take_refusal(State *state, RowPlan *plan, Py_ssize_t column);
/* Raise what `function(bytes, number of columns)` raises for a broken frame. */
void raise_broken(PyObject *function, Reader frame, Py_ssize_t columns);
/* Raise what is to be said of the exception that is set; `column` is -1 if it is about the whole message. */
void raise_refused_argument(State *state, Py_ssize_t column, PyObject *values, PyObject *kind, Py_ssize_t number);
/* Raise that a message would be too long. */
void raise_too_long(State *state);
/* Is it of this class? Else a TypeError is set. */
bool check_type(PyObject *object, PyTypeObject *type, const char *what);
bool check_count(const char *function, Py_ssize_t count, Py_ssize_t expected);

#endif
