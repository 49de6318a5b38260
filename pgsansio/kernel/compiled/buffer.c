/* BufferState: what a buffer of received bytes keeps. */

#include "state.h"

#include <stddef.h>
#include <structmember.h>

/* Room behind an incomplete message in the block, which is moved if that is worth it. NULL without an exception: there
   is none. */
static PyObject *
room_behind(Buffer *self)
{
    PyObject *data = self->data;
    const Py_ssize_t start = self->start, end = self->end, rest = end - start;
    if (!PyByteArray_CheckExact(data)) {
        return NULL;
    }
    const Py_ssize_t capacity = PyByteArray_GET_SIZE(data);
    if (start < 0 || rest < 0 || end > capacity || rest == capacity || self->expected > capacity) {
        return NULL;
    }
    if (start > 0
        && (rest < SHORT_REST_BYTES || capacity - end < ROOM_BYTES || self->expected > capacity - start)) {
        char *bytes = PyByteArray_AS_STRING(data);
        memmove(bytes, bytes + start, (size_t)rest);
        self->start = 0;
        self->end = rest;
    }
    return PySequence_GetSlice(self->view, self->end, PY_SSIZE_T_MAX);
}

PyObject *
buffer_writable(Buffer *self)
{
    if (self->end < self->full && self->data != NULL && self->data == self->block && self->view != NULL) {
        if (self->start == self->end) {
            self->start = self->end = 0;
            return Py_NewRef(self->view);
        }
        PyObject *room = room_behind(self);
        if (room != NULL || PyErr_Occurred()) {
            return room;
        }
    }
    return PyObject_CallMethod((PyObject *)self, "make_room", NULL);
}

static PyObject *
buffer_writable_method(Buffer *self, PyObject *Py_UNUSED(ignored))
{
    return buffer_writable(self);
}

static int
buffer_traverse(Buffer *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->block);
    Py_VISIT(self->data);
    Py_VISIT(self->view);
    return 0;
}

static int
buffer_clear(Buffer *self)
{
    Py_CLEAR(self->view);
    Py_CLEAR(self->data);
    Py_CLEAR(self->block);
    return 0;
}

static void
buffer_dealloc(Buffer *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    buffer_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef buffer_methods[] = {
    {"writable", (PyCFunction)buffer_writable_method, METH_NOARGS,
     "writable($self, /)\n--\n\nRoom for at least one byte, to be filled from its beginning; valid until the next call."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef buffer_members[] = {
    {"block", T_OBJECT_EX, offsetof(Buffer, block), 0, NULL},
    {"data", T_OBJECT_EX, offsetof(Buffer, data), 0, NULL},
    {"view", T_OBJECT_EX, offsetof(Buffer, view), 0, NULL},
    {"start", T_PYSSIZET, offsetof(Buffer, start), 0, NULL},
    {"end", T_PYSSIZET, offsetof(Buffer, end), 0, NULL},
    {"expected", T_PYSSIZET, offsetof(Buffer, expected), 0, NULL},
    {"full", T_PYSSIZET, offsetof(Buffer, full), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(buffer_doc, "What a buffer of received bytes keeps; see `pgsansio.wire.framing`.");

static PyType_Slot buffer_slots[] = {
    {Py_tp_doc, (void *)buffer_doc},
    {Py_tp_dealloc, buffer_dealloc},
    {Py_tp_traverse, buffer_traverse},
    {Py_tp_clear, buffer_clear},
    {Py_tp_methods, buffer_methods},
    {Py_tp_members, buffer_members},
    {0, NULL},
};

static PyType_Spec buffer_spec = {
    .name = "pgsansio.kernel.BufferState",
    .basicsize = sizeof(Buffer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = buffer_slots,
};

bool
buffer_type_init(PyObject *module, State *state)
{
    state->buffer_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &buffer_spec, NULL);
    return state->buffer_type != NULL && PyModule_AddObjectRef(module, "BufferState", (PyObject *)state->buffer_type) == 0;
}
