/* ResourceState and RowsState: what gives rows one by one, as `pgsansio/kernel/pure/state.py` says, and the awaitable of
   each row. That does what a coroutine would, without the frame of one: it takes a row when it is awaited. */

#include "kernel.h"

#include <stddef.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *connection;
    PyObject *releases;
    PyObject *turn;
} Resource;

typedef struct {
    PyObject_HEAD
    /* Who gives the row; NULL: it was asked. */
    Resource *giver;
    /* The coroutine of its `_further`, while that is awaited. */
    PyObject *further;
} Giving;

/* Giving */

static PyObject *
giving_new(State *state, Resource *giver)
{
    Giving *self;
#ifndef Py_GIL_DISABLED
    if (state->free_giving != NULL) {
        self = (Giving *)state->free_giving;
        state->free_giving = NULL;
        revive((PyObject *)self);
    }
    else
#endif
    {
        self = PyObject_GC_New(Giving, state->giving_type);
        if (self == NULL) {
            return NULL;
        }
    }
    self->giver = (Resource *)Py_NewRef((PyObject *)giver);
    self->further = NULL;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int
giving_traverse(Giving *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->giver);
    Py_VISIT(self->further);
    return 0;
}

static int
giving_clear(Giving *self)
{
    Py_CLEAR(self->giver);
    Py_CLEAR(self->further);
    return 0;
}

static void
giving_dealloc(Giving *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    giving_clear(self);
#ifndef Py_GIL_DISABLED
    /* NULL: the module is being freed. */
    PyObject *module = ((PyHeapTypeObject *)type)->ht_module;
    State *state = module == NULL ? NULL : PyModule_GetState(module);
    if (state != NULL && state->giving_type == type && state->free_giving == NULL) {
        /* It keeps its class. */
        state->free_giving = (PyObject *)self;
        return;
    }
#endif
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

void
giving_free(State *state)
{
#ifndef Py_GIL_DISABLED
    PyObject *self = state->free_giving;
    state->free_giving = NULL;
    if (self != NULL) {
        PyTypeObject *type = Py_TYPE(self);
        PyObject_GC_Del(self);
        Py_DECREF(type);
    }
#endif
}

/* Whether the connection is still that of whoever made it. Negative: an exception is set. */
static int
is_held(State *state, Resource *giver)
{
    if (giver->connection == NULL || giver->releases == NULL) {
        PyErr_SetString(PyExc_AttributeError, giver->connection == NULL ? "_connection" : "_releases");
        return -1;
    }
    PyObject *releases = PyObject_GetAttr(giver->connection, state->releases);
    int is_equal = -1;
    if (releases != NULL) {
        is_equal = releases == giver->releases || PyObject_RichCompareBool(releases, giver->releases, Py_EQ);
        Py_DECREF(releases);
    }
    return is_equal;
}

/* The next row that is there already. NULL without an exception: there is none. */
static PyObject *
take_row(State *state, Resource *giver)
{
    if (is_held(state, giver) <= 0) {
        return NULL;
    }
    if (giver->turn == NULL || !PyIter_Check(giver->turn)) {
        PyErr_SetString(PyExc_TypeError, "_turn is no iterator");
        return NULL;
    }
    PyObject *turn = Py_NewRef(giver->turn);
    PyObject *row = PyIter_Next(turn);
    Py_DECREF(turn);
    return row;
}

/* Ask the giver, once. False: an exception is set. */
static bool
ask_further(Giving *self)
{
    if (self->giver == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return false;
    }
    PyObject *giver = (PyObject *)self->giver;
    self->giver = NULL;
    PyObject *further = PyObject_CallMethod(giver, "_further", NULL);
    Py_DECREF(giver);
    if (further != NULL && !PyCoro_CheckExact(further)) {
        PyErr_SetString(PyExc_TypeError, "_further() gives no coroutine");
        Py_CLEAR(further);
    }
    Py_XSETREF(self->further, further);
    return further != NULL;
}

static PySendResult
giving_am_send(Giving *self, PyObject *argument, PyObject **result)
{
    *result = NULL;
    if (self->further == NULL) {
        if (self->giver != NULL) {
            if (argument != Py_None) {
                PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
                return PYGEN_ERROR;
            }
            *result = take_row(PyType_GetModuleState(Py_TYPE(self)), self->giver);
            if (*result != NULL || PyErr_Occurred()) {
                Py_CLEAR(self->giver);
                return *result != NULL ? PYGEN_RETURN : PYGEN_ERROR;
            }
        }
        if (!ask_further(self)) {
            return PYGEN_ERROR;
        }
    }
    PyObject *further = Py_NewRef(self->further);
    PySendResult status = PyIter_Send(further, argument, result);
    if (status != PYGEN_NEXT) {
        Py_CLEAR(self->further);
    }
    Py_DECREF(further);
    return status;
}

/* What Python's own calls get: what is awaited, or an exception, be it StopIteration with the row. */
static PyObject *
giving_send(Giving *self, PyObject *argument)
{
    PyObject *result;
    PySendResult status = giving_am_send(self, argument, &result);
    if (status == PYGEN_RETURN) {
        /* Not `PyErr_SetObject`, which would take a row that is a tuple apart. */
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        Py_CLEAR(result);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
    }
    return result;
}

static PyObject *
giving_next(Giving *self)
{
    return giving_send(self, Py_None);
}

static PyObject *
giving_throw(Giving *self, PyObject *args)
{
    if (self->further == NULL && !ask_further(self)) {
        return NULL;
    }
    PyObject *further = Py_NewRef(self->further);
    PyObject *method = PyObject_GetAttrString(further, "throw");
    PyObject *result = method == NULL ? NULL : PyObject_Call(method, args, NULL);
    if (result == NULL) {
        Py_CLEAR(self->further);
    }
    Py_XDECREF(method);
    Py_DECREF(further);
    return result;
}

static PyObject *
giving_close(Giving *self, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(self->giver);
    PyObject *further = self->further;
    self->further = NULL;
    PyObject *result = further == NULL ? Py_NewRef(Py_None) : PyObject_CallMethod(further, "close", NULL);
    Py_XDECREF(further);
    return result;
}

static PyObject *
giving_await(PyObject *self)
{
    return Py_NewRef(self);
}

static PyMethodDef giving_methods[] = {
    {"send", (PyCFunction)giving_send, METH_O, "send($self, value, /)\n--\n\nAs of a coroutine."},
    {"throw", (PyCFunction)giving_throw, METH_VARARGS, "As of a coroutine."},
    {"close", (PyCFunction)giving_close, METH_NOARGS, "close($self, /)\n--\n\nAs of a coroutine."},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(giving_doc, "The awaitable of a row.");

static PyType_Slot giving_slots[] = {
    {Py_tp_doc, (void *)giving_doc},
    {Py_tp_dealloc, giving_dealloc},
    {Py_tp_traverse, giving_traverse},
    {Py_tp_clear, giving_clear},
    {Py_tp_methods, giving_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, giving_next},
    {Py_am_await, giving_await},
    {Py_am_send, giving_am_send},
    {0, NULL},
};

static PyType_Spec giving_spec = {
    .name = "pgsansio.kernel.Giving",
    .basicsize = sizeof(Giving),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = giving_slots,
};

/* ResourceState and RowsState */

static int
resource_traverse(Resource *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->connection);
    Py_VISIT(self->releases);
    Py_VISIT(self->turn);
    return 0;
}

static int
resource_clear(Resource *self)
{
    Py_CLEAR(self->connection);
    Py_CLEAR(self->releases);
    Py_CLEAR(self->turn);
    return 0;
}

static void
resource_dealloc(Resource *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    resource_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
rows_anext(Resource *self)
{
    State *state = state_of_subtype(Py_TYPE(self));
    return state == NULL ? NULL : giving_new(state, self);
}

static PyMemberDef resource_members[] = {
    {"_connection", T_OBJECT_EX, offsetof(Resource, connection), 0, NULL},
    {"_releases", T_OBJECT_EX, offsetof(Resource, releases), 0, NULL},
    {"_turn", T_OBJECT_EX, offsetof(Resource, turn), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(resource_doc, "What a resource of a connection keeps; see `pgsansio.client.resource`.");

static PyType_Slot resource_slots[] = {
    {Py_tp_doc, (void *)resource_doc},
    {Py_tp_dealloc, resource_dealloc},
    {Py_tp_traverse, resource_traverse},
    {Py_tp_clear, resource_clear},
    {Py_tp_members, resource_members},
    {0, NULL},
};

static PyType_Spec resource_spec = {
    .name = "pgsansio.kernel.ResourceState",
    .basicsize = sizeof(Resource),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = resource_slots,
};

PyDoc_STRVAR(rows_doc, "Gives rows one by one, to `async for`.");

static PyType_Slot rows_slots[] = {
    {Py_tp_doc, (void *)rows_doc},
    {Py_am_anext, rows_anext},
    {0, NULL},
};

static PyType_Spec rows_spec = {
    .name = "pgsansio.kernel.RowsState",
    .basicsize = sizeof(Resource),
    /* How it is collected is its base's. */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = rows_slots,
};

bool
giving_types_init(PyObject *module, State *state)
{
    state->giving_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &giving_spec, NULL);
    state->resource_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &resource_spec, NULL);
    if (state->giving_type == NULL || state->resource_type == NULL) {
        return false;
    }
    state->rows_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &rows_spec, (PyObject *)state->resource_type);
    return state->rows_type != NULL
           && PyModule_AddObjectRef(module, "ResourceState", (PyObject *)state->resource_type) == 0
           && PyModule_AddObjectRef(module, "RowsState", (PyObject *)state->rows_type) == 0;
}
