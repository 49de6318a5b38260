/* BufferState: what a buffer of received bytes keeps. */

#include "state.h"

#include <stddef.h>
#include <structmember.h>

PyObject *
buffer_writable(Buffer *self)
{
    if (self->start == self->end && self->end < self->full && self->data == self->block && self->view != NULL) {
        self->start = self->end = 0;
        return Py_NewRef(self->view);
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
