/* What operations, sessions and buffers keep that this kernel has to know; `pgsansio/kernel/pure/state.py` says what
   that is. Python may set or delete each member at any time: it may be NULL or of any class. */

#ifndef PGSANSIO_STATE_H
#define PGSANSIO_STATE_H

#include "kernel.h"

/* As in contract.py. */
enum {
    TRAIT_SYNC = 4,
    TRAIT_DISCARDS_ROWS = 8,
    TRAIT_INTERNAL = 32,
    TRAIT_SCRIPT = 1024,
    SHORT_LENGTH = 2000,
    WINDOW_BYTES = 65536,
    RUN_LENGTH = 0x3FFFFFFF - 1,
    SHORT_REST_BYTES = 1024,
    ROOM_BYTES = 16384,
};

typedef struct {
    PyObject_HEAD
    PyObject *data;
    PyObject *steps;
    PyObject *row_plan;
    PyObject *rows;
    PyObject *tag;
    PyObject *error;
    PyObject *outcome;
    PyObject *suspended;
    PyObject *abandoned;
    PyObject *written;
    PyObject *attention;
    PyObject *waiter;
    Py_ssize_t size_bytes;
    Py_ssize_t step;
    Py_ssize_t traits;
    Py_ssize_t completed;
} Operation;

typedef struct {
    PyObject_HEAD
    PyObject *condition;
    PyObject *buffer;
    PyObject *outbox;
    PyObject *row;
    PyObject *idle_row;
    PyObject *begin_row;
    PyObject *sent;
    PyObject *unsent;
    PyObject *deferred;
    PyObject *beginning;
    PyObject *transaction_status;
    PyObject *woken;
    Py_ssize_t sent_bytes;
    Py_ssize_t active;
    Py_ssize_t abandoned;
    char processing;
    char cancel_under_way;
} Session;

typedef struct {
    PyObject_HEAD
    PyObject *block;
    PyObject *data;
    PyObject *view;
    Py_ssize_t start;
    Py_ssize_t end;
    Py_ssize_t expected;
    Py_ssize_t full;
} Buffer;

/* A member that is an object, by its place; for the collector. */
static inline PyObject **
object_at(void *self, size_t offset)
{
    return (PyObject **)((char *)self + offset);
}

/* buffer.c */

/* Room for received bytes, a reference. */
PyObject *buffer_writable(Buffer *self);

/* messages.c */

/* Whether nothing more than usual has to be done when an operation is submitted or settled. */
static inline bool
is_ordinary(const Operation *operation)
{
    return (operation->traits & ~(Py_ssize_t)(TRAIT_DISCARDS_ROWS | TRAIT_INTERNAL | TRAIT_SCRIPT)) == TRAIT_SYNC;
}

/* What comes first for an operation that is at the head, a reference. */
PyObject *first_row_of(Session *session, Operation *operation);
/* Take all complete messages in data[start:end], and set where that stops, and how large the incomplete message there
   is. False: an exception is set. */
bool take_messages_of(State *state, Session *session, PyObject *data, Py_ssize_t start, Py_ssize_t end,
                      Py_ssize_t *position, Py_ssize_t *expected);

#endif
