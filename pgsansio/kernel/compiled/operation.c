/* OperationState: what an operation keeps */

#include "state.h"

#include <stddef.h>
#include <structmember.h>

static const size_t operation_objects[] = {
    offsetof(Operation, data),      offsetof(Operation, steps),     offsetof(Operation, row_plan),
    offsetof(Operation, rows),      offsetof(Operation, tag),       offsetof(Operation, error),
    offsetof(Operation, outcome),   offsetof(Operation, suspended), offsetof(Operation, abandoned),
    offsetof(Operation, written),   offsetof(Operation, attention), offsetof(Operation, waiter),
};

static bool
operation_fill(Operation *self, PyObject *data, PyObject *steps, PyObject *traits, PyObject *row_plan)
{
    State *state = state_of_subtype(Py_TYPE(self));
    Py_ssize_t size = state == NULL ? -1 : PyObject_Size(data);
    Py_ssize_t number = size < 0 ? -1 : PyLong_AsSsize_t(traits);
    if (number == -1 && PyErr_Occurred()) {
        return false;
    }
    PyObject *rows = PyList_New(0);
    if (rows == NULL) {
        return false;
    }
    self->size_bytes = size;
    self->traits = number;
    self->step = 0;
    self->completed = 0;
    Py_XSETREF(self->data, Py_NewRef(data));
    Py_XSETREF(self->steps, Py_NewRef(steps));
    Py_XSETREF(self->row_plan, Py_NewRef(row_plan));
    Py_XSETREF(self->rows, rows);
    Py_XSETREF(self->tag, Py_NewRef(Py_None));
    Py_XSETREF(self->error, Py_NewRef(Py_None));
    Py_XSETREF(self->outcome, Py_XNewRef(state->pending));
    Py_XSETREF(self->suspended, Py_NewRef(Py_False));
    Py_XSETREF(self->abandoned, Py_NewRef(Py_False));
    Py_XSETREF(self->written, Py_NewRef(Py_False));
    Py_XSETREF(self->attention, Py_NewRef(Py_False));
    Py_XSETREF(self->waiter, Py_NewRef(Py_None));
    return true;
}

static int
operation_init(Operation *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"data", "steps", "traits", "row_plan", NULL};
    PyObject *data, *steps, *traits, *row_plan = Py_None;
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    if (keywords == NULL && (count == 3 || count == 4)) {
        data = PyTuple_GET_ITEM(args, 0);
        steps = PyTuple_GET_ITEM(args, 1);
        traits = PyTuple_GET_ITEM(args, 2);
        if (count == 4) {
            row_plan = PyTuple_GET_ITEM(args, 3);
        }
    }
    else if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO|O:OperationState", names, &data, &steps, &traits,
                                          &row_plan)) {
        return -1;
    }
    return operation_fill(self, data, steps, traits, row_plan) ? 0 : -1;
}

static int
operation_traverse(Operation *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (size_t index = 0; index < Py_ARRAY_LENGTH(operation_objects); index++) {
        Py_VISIT(*object_at(self, operation_objects[index]));
    }
    return 0;
}

static int
operation_clear(Operation *self)
{
    for (size_t index = 0; index < Py_ARRAY_LENGTH(operation_objects); index++) {
        Py_CLEAR(*object_at(self, operation_objects[index]));
    }
    return 0;
}

static void
operation_dealloc(Operation *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    operation_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef operation_members[] = {
    {"data", T_OBJECT_EX, offsetof(Operation, data), 0, NULL},
    {"steps", T_OBJECT_EX, offsetof(Operation, steps), 0, NULL},
    {"row_plan", T_OBJECT_EX, offsetof(Operation, row_plan), 0, NULL},
    {"rows", T_OBJECT_EX, offsetof(Operation, rows), 0, NULL},
    {"tag", T_OBJECT_EX, offsetof(Operation, tag), 0, NULL},
    {"error", T_OBJECT_EX, offsetof(Operation, error), 0, NULL},
    {"outcome", T_OBJECT_EX, offsetof(Operation, outcome), 0, NULL},
    {"suspended", T_OBJECT_EX, offsetof(Operation, suspended), 0, NULL},
    {"abandoned", T_OBJECT_EX, offsetof(Operation, abandoned), 0, NULL},
    {"written", T_OBJECT_EX, offsetof(Operation, written), 0, NULL},
    {"attention", T_OBJECT_EX, offsetof(Operation, attention), 0, NULL},
    {"waiter", T_OBJECT_EX, offsetof(Operation, waiter), 0, NULL},
    {"size_bytes", T_PYSSIZET, offsetof(Operation, size_bytes), 0, NULL},
    {"step", T_PYSSIZET, offsetof(Operation, step), 0, NULL},
    {"traits", T_PYSSIZET, offsetof(Operation, traits), 0, NULL},
    {"completed", T_PYSSIZET, offsetof(Operation, completed), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(operation_doc, "What an operation keeps; see `pgsansio.engine.operations`.");

static PyType_Slot operation_slots[] = {
    {Py_tp_doc, (void *)operation_doc},
    {Py_tp_init, operation_init},
    {Py_tp_dealloc, operation_dealloc},
    {Py_tp_traverse, operation_traverse},
    {Py_tp_clear, operation_clear},
    {Py_tp_members, operation_members},
    {0, NULL},
};

static PyType_Spec operation_spec = {
    .name = "pgsansio.kernel.OperationState",
    .basicsize = sizeof(Operation),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = operation_slots,
};

bool
operation_type_init(PyObject *module, State *state)
{
    state->operation_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &operation_spec, NULL);
    return state->operation_type != NULL && PyModule_AddObjectRef(module, "OperationState", (PyObject *)state->operation_type) == 0;
}
