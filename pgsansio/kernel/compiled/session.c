/* SessionState: what a session keeps, and what is done with it for every query, as `pgsansio/kernel/pure/state.py` says */

#include "state.h"

#include <stddef.h>
#include <structmember.h>

static const size_t session_objects[] = {
    offsetof(Session, condition), offsetof(Session, buffer), offsetof(Session, outbox),   offsetof(Session, row),
    offsetof(Session, idle_row),  offsetof(Session, sent),   offsetof(Session, unsent),   offsetof(Session, deferred),
    offsetof(Session, woken),     offsetof(Session, transaction_status),
    offsetof(Session, begin_row), offsetof(Session, beginning),
};

static int
session_traverse(Session *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (size_t index = 0; index < Py_ARRAY_LENGTH(session_objects); index++) {
        Py_VISIT(*object_at(self, session_objects[index]));
    }
    return 0;
}

static int
session_clear(Session *self)
{
    for (size_t index = 0; index < Py_ARRAY_LENGTH(session_objects); index++) {
        Py_CLEAR(*object_at(self, session_objects[index]));
    }
    return 0;
}

static void
session_dealloc(Session *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    session_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Is a queue there, and empty? */
static inline bool
is_empty(PyObject *queue)
{
    return queue != NULL && PyObject_Size(queue) == 0;
}

static PyObject *
session_submit(Session *self, PyObject *object)
{
    State *state = state_of_subtype(Py_TYPE(self));
    if (state == NULL || !check_type(object, state->operation_type, "an operation")) {
        return NULL;
    }
    Operation *operation = (Operation *)object;
    if (!is_ordinary(operation) || self->condition != state->open || self->processing || self->active != 0
        || self->cancel_under_way || self->deferred == NULL || !is_empty(self->sent) || !is_empty(self->unsent)
        || self->outbox == NULL || PyObject_Size(self->outbox) != 0 || operation->data == NULL) {
        return PyErr_Occurred() ? NULL : PyObject_CallMethod((PyObject *)self, "submit_by_rules", "O", object);
    }
    if (self->deferred != Py_None) {
        PyObject *brought = PyObject_CallMethod((PyObject *)self, "bring_along", "O", object);
        Py_XDECREF(brought);
        if (brought == NULL) {
            return NULL;
        }
        if (self->sent == NULL || operation->data == NULL) {
            return PyErr_Format(PyExc_AttributeError, self->sent == NULL ? "sent" : "data");
        }
    }
    PyObject *row = first_row_of(self, operation);
    PyObject *empty = row == NULL ? NULL : PyBytes_FromStringAndSize(NULL, 0);
    PyObject *done = empty == NULL ? NULL : PyObject_CallMethodOneArg(self->sent, state->append, object);
    if (done == NULL) {
        Py_XDECREF(row);
        Py_XDECREF(empty);
        return NULL;
    }
    Py_XSETREF(self->row, row);
    self->sent_bytes = operation->size_bytes;
    self->active = !(operation->traits & TRAIT_INTERNAL);
    Py_XSETREF(operation->written, Py_NewRef(Py_True));
    Py_XSETREF(self->outbox, operation->data);
    operation->data = empty;
    return done;
}

/* Is this operation the only one in the queue? */
static bool
is_alone(PyObject *queue, PyObject *operation)
{
    if (queue == NULL || PyObject_Size(queue) != 1) {
        return false;
    }
    PyObject *head = PySequence_GetItem(queue, 0);
    Py_XDECREF(head);
    return head == operation;
}

static PyObject *
session_submit_behind(Session *self, PyObject *const *args, Py_ssize_t count)
{
    State *state = state_of_subtype(Py_TYPE(self));
    if (state == NULL || !check_count("submit_behind", count, 2)
        || !check_type(args[0], state->operation_type, "an operation")
        || !check_type(args[1], state->operation_type, "an operation")) {
        return NULL;
    }
    Operation *operation = (Operation *)args[0], *first = (Operation *)args[1];
    Py_ssize_t size = self->sent_bytes + operation->size_bytes;
    if (!is_alone(self->sent, args[1]) || first->traits != TRAIT_SYNC || self->beginning != Py_None
        || size > WINDOW_BYTES) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
    }
    if (self->outbox == NULL || operation->data == NULL) {
        return PyErr_Format(PyExc_AttributeError, self->outbox == NULL ? "outbox" : "data");
    }
    PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
    PyObject *outbox = empty == NULL ? NULL : PySequence_Concat(self->outbox, operation->data);
    PyObject *done = outbox == NULL ? NULL : PyObject_CallMethodOneArg(self->sent, state->append, args[0]);
    if (done == NULL) {
        Py_XDECREF(empty);
        Py_XDECREF(outbox);
        return NULL;
    }
    Py_DECREF(done);
    self->sent_bytes = size;
    Py_XSETREF(operation->written, Py_NewRef(Py_True));
    Py_XSETREF(self->outbox, outbox);
    Py_XSETREF(operation->data, empty);
    return Py_NewRef(Py_True);
}

static PyObject *
session_get_buffer(Session *self, PyObject *const *args, Py_ssize_t count)
{
    State *state = state_of_subtype(Py_TYPE(self));
    if (state == NULL || count > 1) {
        return state == NULL ? NULL : PyErr_Format(PyExc_TypeError, "get_buffer() takes a size at most");
    }
    if (self->buffer == NULL || !check_type(self->buffer, state->buffer_type, "a buffer")) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_AttributeError, "buffer");
    }
    Buffer *buffer = (Buffer *)Py_NewRef(self->buffer);
    PyObject *room = buffer_writable(buffer);
    Py_DECREF(buffer);
    return room;
}

/* Let the session look at the exception that is set. False: it is raised on. */
static bool
tell_failure(Session *self)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *done = PyObject_CallMethod((PyObject *)self, "reading_failed", "O", error);
    Py_DECREF(error);
    Py_XDECREF(done);
    return done != NULL;
}

static PyObject *
session_bytes_received(Session *self, PyObject *size_bytes)
{
    State *state = state_of_subtype(Py_TYPE(self));
    Py_ssize_t size = state == NULL ? -1 : PyLong_AsSsize_t(size_bytes);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (self->buffer == NULL || !check_type(self->buffer, state->buffer_type, "a buffer")) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_AttributeError, "buffer");
    }
    Buffer *buffer = (Buffer *)Py_NewRef(self->buffer);
    buffer->end += size;
    bool done = true;
    if (self->condition != state->open) {
        buffer->start = buffer->end;
    }
    else {
        PyObject *data = Py_XNewRef(buffer->data);
        self->processing = true;
        Py_ssize_t position, expected;
        if (data == NULL) {
            PyErr_SetString(PyExc_AttributeError, "data");
        }
        if (data != NULL
            && take_messages_of(state, self, data, buffer->start, buffer->end, &position, &expected)) {
            buffer->start = position;
            buffer->expected = expected;
        }
        else {
            done = tell_failure(self);
        }
        self->processing = false;
        Py_XDECREF(data);
        if (done && !is_empty(self->unsent)) {
            PyObject *written = PyObject_CallMethod((PyObject *)self, "write_waiting", NULL);
            Py_XDECREF(written);
            done = written != NULL;
        }
    }
    Py_DECREF(buffer);
    return done ? Py_NewRef(Py_None) : NULL;
}

static PyObject *
session_data_to_send(Session *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *data = Py_XNewRef(self->outbox);
    if (data == NULL) {
        return PyErr_Format(PyExc_AttributeError, "outbox");
    }
    Py_ssize_t size = PyObject_Size(data);
    PyObject *empty = size > 0 ? PyBytes_FromStringAndSize(NULL, 0) : NULL;
    if (size < 0 || (size > 0 && empty == NULL)) {
        Py_DECREF(data);
        return NULL;
    }
    if (size > 0) {
        Py_XSETREF(self->outbox, empty);
    }
    return data;
}

static PyObject *
session_completed(Session *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *woken = Py_XNewRef(self->woken);
    if (woken == NULL) {
        return PyErr_Format(PyExc_AttributeError, "woken");
    }
    Py_ssize_t count = PyObject_Size(woken);
    PyObject *empty = count > 0 ? PyList_New(0) : NULL;
    if (count < 0 || (count > 0 && empty == NULL)) {
        Py_DECREF(woken);
        return NULL;
    }
    if (count > 0) {
        Py_XSETREF(self->woken, empty);
    }
    return woken;
}

static PyMethodDef session_methods[] = {
    {"submit", (PyCFunction)session_submit, METH_O,
     "submit($self, operation, /)\n--\n\nQueue an operation and write it if the rules allow."},
    {"submit_behind", (PyCFunction)(void (*)(void))session_submit_behind, METH_FASTCALL,
     "submit_behind($self, operation, first, /)\n--\n\nQueue an operation right behind one that was just submitted, if "
     "the rules allow."},
    {"get_buffer", (PyCFunction)(void (*)(void))session_get_buffer, METH_FASTCALL,
     "get_buffer($self, size_hint=-1, /)\n--\n\nRoom for received bytes, to be filled from its beginning."},
    {"bytes_received", (PyCFunction)session_bytes_received, METH_O,
     "bytes_received($self, size_bytes, /)\n--\n\nSo many bytes were written to what `get_buffer` gave."},
    {"data_to_send", (PyCFunction)session_data_to_send, METH_NOARGS,
     "data_to_send($self, /)\n--\n\nWhat has to be written now; it belongs to the caller."},
    {"completed", (PyCFunction)session_completed, METH_NOARGS,
     "completed($self, /)\n--\n\nOperations that were settled, or have news for their owner, since the last call."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef session_members[] = {
    {"condition", T_OBJECT_EX, offsetof(Session, condition), 0, NULL},
    {"buffer", T_OBJECT_EX, offsetof(Session, buffer), 0, NULL},
    {"outbox", T_OBJECT_EX, offsetof(Session, outbox), 0, NULL},
    {"unsent", T_OBJECT_EX, offsetof(Session, unsent), 0, NULL},
    {"deferred", T_OBJECT_EX, offsetof(Session, deferred), 0, NULL},
    {"beginning", T_OBJECT_EX, offsetof(Session, beginning), 0, NULL},
    {"processing", T_BOOL, offsetof(Session, processing), 0, NULL},
    {"cancel_under_way", T_BOOL, offsetof(Session, cancel_under_way), 0, NULL},
    {"row", T_OBJECT_EX, offsetof(Session, row), 0, NULL},
    {"idle_row", T_OBJECT_EX, offsetof(Session, idle_row), 0, NULL},
    {"begin_row", T_OBJECT_EX, offsetof(Session, begin_row), 0, NULL},
    {"sent", T_OBJECT_EX, offsetof(Session, sent), 0, NULL},
    {"transaction_status", T_OBJECT_EX, offsetof(Session, transaction_status), 0, NULL},
    {"woken", T_OBJECT_EX, offsetof(Session, woken), 0, NULL},
    {"sent_bytes", T_PYSSIZET, offsetof(Session, sent_bytes), 0, NULL},
    {"active", T_PYSSIZET, offsetof(Session, active), 0, NULL},
    {"abandoned", T_PYSSIZET, offsetof(Session, abandoned), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(session_doc, "What a session keeps; see `pgsansio.kernel.contract.Session`.");

static PyType_Slot session_slots[] = {
    {Py_tp_doc, (void *)session_doc},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_traverse, session_traverse},
    {Py_tp_clear, session_clear},
    {Py_tp_methods, session_methods},
    {Py_tp_members, session_members},
    {0, NULL},
};

static PyType_Spec session_spec = {
    .name = "pgsansio.kernel.SessionState",
    .basicsize = sizeof(Session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = session_slots,
};

bool
session_type_init(PyObject *module, State *state)
{
    state->session_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &session_spec, NULL);
    return state->session_type != NULL && PyModule_AddObjectRef(module, "SessionState", (PyObject *)state->session_type) == 0;
}
