/* take_messages: the messages that answer operations, by the table of a session's states.

   The frequent ones are done here, as `pgsansio/kernel/pure/messages.py` says; for what is rare with them those functions
   of Python's are called, and for all else the functions that the table names. What belongs to the session and its
   operations may change in any of these, and in a user's codec: so nothing is kept from one message to the next but a
   reference to the row of the table. */

#include "state.h"

enum {
    HEADER_BYTES = 5,
    DATA_ROW = 'D',
};

typedef struct {
    State *state;
    Session *session;
    /* The object, the bytes in it, and where reading stops. */
    PyObject *data;
    Reader whole;
    /* A reference; never NULL. */
    PyObject *row;
} Loop;

static inline Py_ssize_t
position_of(const Loop *loop, const unsigned char *at)
{
    return at - loop->whole.at;
}

static void
raise_unset(const char *name)
{
    PyErr_SetString(PyExc_AttributeError, name);
}

/* What happens to an operation. */

/* The operation at the head of the queue, a reference. */
static Operation *
head_of(const Loop *loop)
{
    PyObject *sent = loop->session->sent;
    if (sent == NULL) {
        raise_unset("sent");
        return NULL;
    }
    PyObject *head = PySequence_GetItem(sent, 0);
    if (head != NULL && !check_type(head, loop->state->operation_type, "an operation")) {
        Py_CLEAR(head);
    }
    return (Operation *)head;
}

/* Call an action of Python's: it takes the body of a message. */
static bool
act(const Loop *loop, PyObject *action, Reader body)
{
    PyObject *start = PyLong_FromSsize_t(position_of(loop, body.at));
    PyObject *after = PyLong_FromSsize_t(position_of(loop, body.end));
    PyObject *done = NULL;
    if (start != NULL && after != NULL) {
        PyObject *args[] = {(PyObject *)loop->session, loop->data, start, after};
        done = PyObject_Vectorcall(action, args, 4, NULL);
    }
    Py_XDECREF(start);
    Py_XDECREF(after);
    Py_XDECREF(done);
    return done != NULL;
}

static bool
take_portal_suspended(const Loop *loop, Reader body)
{
    if (reader_left(&body) != 0) {
        return act(loop, loop->state->portal_suspended, body);
    }
    Operation *operation = head_of(loop);
    if (operation == NULL) {
        return false;
    }
    Py_XSETREF(operation->suspended, Py_NewRef(Py_True));
    Py_DECREF(operation);
    return true;
}

static bool
begins_with(Reader bytes, const char *text)
{
    size_t size = strlen(text);
    return (size_t)reader_left(&bytes) >= size && memcmp(bytes.at, text, size) == 0;
}

/* A command tag, which is kept; of an execution of a batch, which is counted. */
static bool
take_command_complete(const Loop *loop, PyObject *action, Reader body)
{
    Py_ssize_t size = reader_left(&body) - 1;
    if (size < 0 || memchr(body.at, 0, (size_t)size + 1) != body.at + size || begins_with(body, "DISCARD ALL")
        || begins_with(body, "DEALLOCATE")) {
        return act(loop, action, body);
    }
    Operation *operation = head_of(loop);
    if (operation == NULL) {
        return false;
    }
    if (action == loop->state->statement_complete && operation->traits & TRAIT_SCRIPT) {
        Py_DECREF(operation);
        return act(loop, action, body);
    }
    PyObject *tag = operation->tag;
    /* Each execution of a batch has the same, mostly. */
    if (tag == NULL || !PyBytes_CheckExact(tag) || PyBytes_GET_SIZE(tag) != size
        || memcmp(PyBytes_AS_STRING(tag), body.at, (size_t)size) != 0) {
        tag = PyBytes_FromStringAndSize((const char *)body.at, size);
        if (tag == NULL) {
            Py_DECREF(operation);
            return false;
        }
        Py_XSETREF(operation->tag, tag);
    }
    if (action == loop->state->batch_complete) {
        operation->completed++;
    }
    Py_DECREF(operation);
    return true;
}

static PyObject *
status_of(const State *state, uint8_t status)
{
    switch (status) {
    case 'I':
        return state->status_idle;
    case 'T':
        return state->status_in_block;
    case 'E':
        return state->status_failed;
    default:
        return NULL;
    }
}

PyObject *
first_row_of(Session *session, Operation *operation)
{
    if (operation->step != 0) {
        if (session->begin_row == NULL) {
            raise_unset("begin_row");
        }
        return Py_XNewRef(session->begin_row);
    }
    PyObject *steps = Py_XNewRef(operation->steps);
    if (steps == NULL) {
        raise_unset("steps");
        return NULL;
    }
    PyObject *row = PySequence_GetItem(steps, 0);
    Py_DECREF(steps);
    return row;
}

/* What comes next when an operation has left the queue, a reference. */
static PyObject *
row_of_head(const Loop *loop)
{
    Py_ssize_t count = PySequence_Size(loop->session->sent);
    if (count < 0) {
        return NULL;
    }
    if (count == 0) {
        if (loop->session->idle_row == NULL) {
            raise_unset("idle_row");
        }
        return Py_XNewRef(loop->session->idle_row);
    }
    Operation *operation = head_of(loop);
    PyObject *row = operation == NULL ? NULL : first_row_of(loop->session, operation);
    Py_XDECREF(operation);
    return row;
}

/* ReadyForQuery: the operation at the head is settled. */
static bool
take_ready(const Loop *loop, Reader body)
{
    Session *session = loop->session;
    Reader rest = body;
    uint8_t status_byte;
    PyObject *status = NULL;
    if (read_uint8(&rest, &status_byte) && reader_left(&rest) == 0) {
        status = status_of(loop->state, status_byte);
    }
    Operation *operation = head_of(loop);
    if (operation == NULL) {
        return false;
    }
    bool is_usual = status != NULL && is_ordinary(operation) && operation->abandoned == Py_False
                    && session->abandoned == 0 && operation->error == Py_None && session->woken != NULL
                    && PyList_CheckExact(session->woken);
    if (!is_usual) {
        Py_DECREF(operation);
        return act(loop, loop->state->ready, body);
    }
    Py_XSETREF(session->transaction_status, Py_NewRef(status));
    PyObject *head = PyObject_CallMethodNoArgs(session->sent, loop->state->popleft);
    Py_XDECREF(head);
    PyObject *row = head == NULL ? NULL : row_of_head(loop);
    bool done = row != NULL;
    if (done) {
        session->sent_bytes -= operation->size_bytes;
        Py_XSETREF(session->row, row);
        session->active -= !(operation->traits & TRAIT_INTERNAL);
        if (session->beginning == (PyObject *)operation) {
            Py_SETREF(session->beginning, Py_NewRef(Py_None));
        }
        Py_XSETREF(operation->outcome, Py_NewRef(loop->state->completed));
        done = PyList_Append(session->woken, (PyObject *)operation) == 0;
    }
    Py_DECREF(operation);
    return done;
}

/* Messages that come in runs. */

/* Call an action that takes a run of messages, the first of which begins at `at`; where the run ends, or NULL. */
static const unsigned char *
position_from(const Loop *loop, PyObject *position, const unsigned char *at)
{
    if (position == NULL) {
        return NULL;
    }
    Py_ssize_t number = PyLong_AsSsize_t(position);
    Py_DECREF(position);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (number < position_of(loop, at) || number > position_of(loop, loop->whole.end)) {
        PyErr_SetString(PyExc_SystemError, "a run of messages ends outside of what was received");
        return NULL;
    }
    return loop->whole.at + number;
}

static const unsigned char *
act_on_run(const Loop *loop, PyObject *action, const unsigned char *at)
{
    PyObject *start = PyLong_FromSsize_t(position_of(loop, at));
    PyObject *end = PyLong_FromSsize_t(position_of(loop, loop->whole.end));
    PyObject *position = NULL;
    if (start != NULL && end != NULL) {
        PyObject *args[] = {(PyObject *)loop->session, loop->data, start, end};
        position = PyObject_Vectorcall(action, args, 4, NULL);
    }
    Py_XDECREF(start);
    Py_XDECREF(end);
    return position_from(loop, position, at);
}

/* What `unwanted_rows` of a session does with rows that were never wanted: returns where the run ends; NULL without an
   exception: one of them is too short. */
static const unsigned char *
skip_rows(const Loop *loop, const unsigned char *at)
{
    Reader rest = {at, loop->whole.end};
    Reader body;
    uint8_t tag;
    uint32_t length;
    while (read_uint8(&rest, &tag) && tag == DATA_ROW && read_uint32(&rest, &length)) {
        if (length < 6) {
            return NULL;
        }
        if (!read_part(&rest, (Py_ssize_t)length - 4, &body)) {
            break;
        }
        at = rest.at;
    }
    return at;
}

/* A run of rows, likewise. */
static const unsigned char *
take_rows(const Loop *loop, const unsigned char *at)
{
    Operation *operation = head_of(loop);
    if (operation == NULL) {
        return NULL;
    }
    const unsigned char *after = NULL;
    if (operation->error == Py_None && operation->traits & TRAIT_DISCARDS_ROWS) {
        after = skip_rows(loop, at);
        if (after != NULL) {
            Py_DECREF(operation);
            return after;
        }
    }
    RowPlan *plan = (RowPlan *)Py_XNewRef(operation->row_plan);
    PyObject *rows = Py_XNewRef(operation->rows);
    if (plan == NULL || rows == NULL) {
        raise_unset(plan == NULL ? "row_plan" : "rows");
    }
    else if ((PyObject *)plan == Py_None || operation->error != Py_None || operation->traits & TRAIT_DISCARDS_ROWS) {
        PyObject *position =
            PyObject_CallMethod((PyObject *)loop->session, "unwanted_rows", "Onn", loop->data, position_of(loop, at),
                                position_of(loop, loop->whole.end));
        after = position_from(loop, position, at);
    }
    else if (check_type((PyObject *)plan, loop->state->row_plan_type, "plan") && check_type(rows, &PyList_Type, "rows")) {
        Reader rest = {at, loop->whole.end};
        PyObject *refusal = NULL;
        if (decode_run(loop->state, plan, &rest, rows, PY_SSIZE_T_MAX, &refusal)) {
            after = rest.at;
        }
        else if (refusal != NULL) {
            PyObject *done =
                PyObject_CallMethod((PyObject *)loop->session, "row_refused", "OOOnn", operation, refusal, loop->data,
                                    position_of(loop, at), position_of(loop, rest.at));
            Py_DECREF(refusal);
            Py_XDECREF(done);
            after = done == NULL ? NULL : rest.at;
        }
    }
    Py_XDECREF(plan);
    Py_XDECREF(rows);
    Py_DECREF(operation);
    return after;
}

/* The table. */

/* Call a method of the session's that is given the header of a message, and raises if that may not be. */
static bool
ask(const Loop *loop, const char *method, uint8_t tag, uint32_t length)
{
    PyObject *done = PyObject_CallMethod((PyObject *)loop->session, method, "iIO", tag, length, loop->row);
    Py_XDECREF(done);
    return done != NULL;
}

static bool
refuse(const Loop *loop, uint8_t tag, uint32_t length)
{
    if (ask(loop, "refuse", tag, length)) {
        PyErr_SetString(PyExc_SystemError, "the kernels disagree whether a message may come");
    }
    return false;
}

/* Go on with this row; takes the reference. False: it is none, or NULL and an exception is set. */
static bool
follow(Loop *loop, PyObject *row)
{
    if (row == NULL || !check_type(row, &PyDict_Type, "a row")) {
        Py_XDECREF(row);
        return false;
    }
    Py_SETREF(loop->row, row);
    return true;
}

/* The row of the next step of the operation at the head, a reference. */
static PyObject *
next_step(const Loop *loop)
{
    Operation *operation = head_of(loop);
    if (operation == NULL) {
        return NULL;
    }
    Py_ssize_t step = ++operation->step;
    PyObject *steps = Py_XNewRef(operation->steps);
    Py_DECREF(operation);
    PyObject *row = NULL;
    if (steps == NULL) {
        raise_unset("steps");
    }
    else if (PyTuple_CheckExact(steps) && step >= 0 && step < PyTuple_GET_SIZE(steps)) {
        row = Py_NewRef(PyTuple_GET_ITEM(steps, step));
    }
    else {
        row = PySequence_GetItem(steps, step);
        if (row == NULL && PyErr_ExceptionMatches(PyExc_IndexError)) {
            PyErr_Clear();
            row = PyObject_CallMethod((PyObject *)loop->session, "answered", NULL);
        }
    }
    Py_XDECREF(steps);
    return row;
}

/* Where the message leads to. */
static bool
go_on(Loop *loop, PyObject *following)
{
    State *state = loop->state;
    if (following == state->same) {
        return true;
    }
    if (following == state->step) {
        return follow(loop, next_step(loop));
    }
    if (following == state->end) {
        if (loop->session->row == NULL) {
            raise_unset("row");
            return false;
        }
        return follow(loop, Py_NewRef(loop->session->row));
    }
    if (following == state->after_copy) {
        return follow(loop, PyObject_CallMethod((PyObject *)loop->session, "after_copy", NULL));
    }
    return follow(loop, Py_NewRef(following));
}

/* What the row says about messages of this type, a reference to a tuple of two; NULL without an exception: nothing. */
static PyObject *
entry_of(const Loop *loop, uint8_t tag)
{
    PyObject *key = PyLong_FromLong(tag);
    PyObject *entry = key == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(loop->row, key));
    Py_XDECREF(key);
    if (entry != NULL && !(PyTuple_CheckExact(entry) && PyTuple_GET_SIZE(entry) == 2)) {
        PyErr_SetString(PyExc_TypeError, "an entry of the table must be a tuple of two");
        Py_CLEAR(entry);
    }
    return entry;
}

static bool
take_body(const Loop *loop, PyObject *action, Reader body)
{
    State *state = loop->state;
    if (action == state->command_complete || action == state->batch_complete || action == state->statement_complete) {
        return take_command_complete(loop, action, body);
    }
    if (action == state->ready) {
        return take_ready(loop, body);
    }
    if (action == state->passed_over) {
        return true;
    }
    if (action == state->portal_suspended) {
        return take_portal_suspended(loop, body);
    }
    return act(loop, action, body);
}

/* Take a complete message, or a run of them. Returns where the next one begins; NULL: an exception is set. */
static const unsigned char *
take_message(Loop *loop, uint8_t tag, uint32_t length, const unsigned char *at, Reader body)
{
    PyObject *entry = entry_of(loop, tag);
    if (entry == NULL) {
        if (!PyErr_Occurred()) {
            refuse(loop, tag, length);
        }
        return NULL;
    }
    PyObject *action = PyTuple_GET_ITEM(entry, 0), *following = PyTuple_GET_ITEM(entry, 1);
    const unsigned char *after = NULL;
    if (following == loop->state->run) {
        after = action == loop->state->take_rows ? take_rows(loop, at) : act_on_run(loop, action, at);
    }
    else {
        bool done = action == Py_None ? reader_left(&body) == 0 || refuse(loop, tag, length)
                                      : take_body(loop, action, body);
        if (done && go_on(loop, following)) {
            after = body.end;
        }
    }
    Py_DECREF(entry);
    return after;
}

/* Whether it may come, though it is not complete, or not short. False: an exception is set. */
static bool
may_be_long(const Loop *loop, uint8_t tag, uint32_t length)
{
    PyObject *entry = entry_of(loop, tag);
    bool is_run = entry != NULL && PyTuple_GET_ITEM(entry, 1) == loop->state->run && length >= 4 && length <= RUN_LENGTH;
    Py_XDECREF(entry);
    return is_run || (!PyErr_Occurred() && ask(loop, "check_length", tag, length));
}

/* All complete messages from `at` on. Returns the beginning of the first one that is not complete, and its size if it is
   known; NULL: an exception is set. */
static const unsigned char *
take_all(Loop *loop, const unsigned char *at, Py_ssize_t *expected)
{
    *expected = 0;
    while (loop->whole.end - at >= HEADER_BYTES) {
        Reader rest = {at, loop->whole.end};
        Reader body;
        uint8_t tag;
        uint32_t length;
        if (!read_uint8(&rest, &tag) || !read_uint32(&rest, &length)) {
            break;
        }
        bool is_complete = length >= 4 && read_part(&rest, (Py_ssize_t)length - 4, &body);
        if (!is_complete || length > SHORT_LENGTH) {
            if (!may_be_long(loop, tag, length)) {
                return NULL;
            }
            if (!is_complete) {
                *expected = (Py_ssize_t)length + 1;
                break;
            }
        }
        at = take_message(loop, tag, length, at, body);
        if (at == NULL) {
            return NULL;
        }
    }
    return at;
}

bool
take_messages_of(State *state, Session *session, PyObject *data, Py_ssize_t start, Py_ssize_t end,
                 Py_ssize_t *position, Py_ssize_t *expected)
{
    if (session->row == NULL) {
        raise_unset("row");
        return false;
    }
    Py_buffer buffer;
    /* While it is held nobody can resize a bytearray. */
    if (!check_type(session->row, &PyDict_Type, "a row") || PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) < 0) {
        return false;
    }
    Reader part = reader_over(buffer.buf, buffer.len, start, end);
    Loop loop = {state, session, data, {buffer.buf, part.end}, Py_NewRef(session->row)};
    const unsigned char *at = take_all(&loop, part.at, expected);
    if (at != NULL) {
        *position = position_of(&loop, at);
        Py_XSETREF(session->row, Py_NewRef(loop.row));
    }
    Py_DECREF(loop.row);
    PyBuffer_Release(&buffer);
    return at != NULL;
}

PyObject *
take_messages(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    if (!check_count("take_messages", count, 4) || !check_type(args[0], state->session_type, "session")) {
        return NULL;
    }
    Py_ssize_t start = PyLong_AsSsize_t(args[2]);
    Py_ssize_t end = PyErr_Occurred() ? -1 : PyLong_AsSsize_t(args[3]);
    Py_ssize_t position, expected;
    if (PyErr_Occurred()
        || !take_messages_of(state, (Session *)args[0], args[1], start, end, &position, &expected)) {
        return NULL;
    }
    return Py_BuildValue("nn", position, expected);
}
