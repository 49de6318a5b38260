/* Codec, RowPlan and ParameterPlan: what would otherwise be asked for every value, asked once. */

#include "kernel.h"

#include <stddef.h>
#include <structmember.h>

/* Codecs */

enum {
    /* Containers in containers, of which one is inlined: each is a call of C's in another one. */
    MAX_HEIGHT = 32,
    /* Beyond this nobody looks. */
    MAX_DEPTH = 4 * MAX_HEIGHT,
};

static Codec *codec_of(State *state, PyObject *source, PyObject *made, int depth);

static int
codec_traverse(Codec *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->decode);
    Py_VISIT(self->encode);
    Py_VISIT(self->element);
    Py_VISIT(self->columns);
    for (Py_ssize_t index = 0; index < self->count; index++) {
        Py_VISIT(self->members[index]);
    }
    return 0;
}

/* `decode` and `encode` may lead back here. What takes their place raises a TypeError, should a finalizer call it. */
static int
codec_clear(Codec *self)
{
    Py_XSETREF(self->decode, Py_NewRef(Py_None));
    Py_XSETREF(self->encode, Py_NewRef(Py_None));
    return 0;
}

static void
free_codecs(Codec **codecs, Py_ssize_t count)
{
    if (codecs != NULL) {
        for (Py_ssize_t index = 0; index < count; index++) {
            Py_XDECREF(codecs[index]);
        }
        PyMem_Free(codecs);
    }
}

static void
codec_dealloc(Codec *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->decode);
    Py_XDECREF(self->encode);
    Py_XDECREF(self->element);
    Py_XDECREF(self->columns);
    free_codecs(self->members, self->count);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot codec_slots[] = {
    {Py_tp_dealloc, codec_dealloc},
    {Py_tp_traverse, codec_traverse},
    {Py_tp_clear, codec_clear},
    {0, NULL},
};

static PyType_Spec codec_spec = {
    .name = "pgsansio.kernel.Codec",
    .basicsize = sizeof(Codec),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = codec_slots,
};

/* Codecs of a tuple of ValueCodecs; NULL and an exception if there is an error. */
static Codec **
codecs_of(State *state, PyObject *sources, PyObject *made, int depth)
{
    Py_ssize_t count = PyTuple_GET_SIZE(sources);
    Codec **codecs = PyMem_Calloc(count > 0 ? (size_t)count : 1, sizeof(Codec *));
    if (codecs == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        codecs[index] = codec_of(state, PyTuple_GET_ITEM(sources, index), made, depth);
        if (codecs[index] == NULL) {
            free_codecs(codecs, count);
            return NULL;
        }
    }
    return codecs;
}

static bool
is_container(Opcode opcode)
{
    return opcode == OP_ARRAY || opcode == OP_RANGE || opcode == OP_MULTIRANGE || opcode == OP_COMPOSITE;
}

/* An attribute that must be a tuple. */
static PyObject *
tuple_attribute(PyObject *source, const char *name)
{
    PyObject *value = PyObject_GetAttrString(source, name);
    if (value != NULL && !PyTuple_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s of a codec must be a tuple, not %s", name, Py_TYPE(value)->tp_name);
        Py_CLEAR(value);
    }
    return value;
}

/* Take over a codec's parts, and learn from them whether it is a user's in part, and how high it is. */
static bool
add_parts(State *state, Codec *self, PyObject *source, Opcode opcode, PyObject *made, int depth)
{
    PyObject *element = PyObject_GetAttrString(source, "element");
    PyObject *members = tuple_attribute(source, "members");
    PyObject *names = tuple_attribute(source, "names");
    bool done = element != NULL && members != NULL && names != NULL;
    if (done && element != Py_None) {
        self->element = codec_of(state, element, made, depth + 1);
        done = self->element != NULL;
        if (done) {
            self->user |= self->element->user;
            self->height = self->element->height + 1;
        }
    }
    if (done && PyTuple_GET_SIZE(members) > 0) {
        self->members = codecs_of(state, members, made, depth + 1);
        done = self->members != NULL;
        self->count = done ? PyTuple_GET_SIZE(members) : 0;
        for (Py_ssize_t index = 0; index < self->count; index++) {
            Codec *member = self->members[index];
            self->user |= member->user;
            if (self->height <= member->height) {
                self->height = member->height + 1;
            }
        }
    }
    if (done && opcode == OP_COMPOSITE && PyTuple_GET_SIZE(names) == self->count) {
        self->columns = columns_new(state, names);
        done = self->columns != NULL;
    }
    Py_XDECREF(element);
    Py_XDECREF(members);
    Py_XDECREF(names);
    return done;
}

/* What of the codec is done here: of its binary form what its opcode says, if it has the parts that this takes. */
static void
choose_opcodes(Codec *self, Opcode opcode, bool binary)
{
    self->decode_opcode = self->encode_opcode = OP_CALL;
    if (!binary && opcode != OP_TEXT) {
        return;
    }
    if (!is_container(opcode)) {
        self->decode_opcode = self->encode_opcode = opcode;
        return;
    }
    bool has_parts = opcode == OP_COMPOSITE ? self->columns != NULL : self->element != NULL;
    if (self->user || self->height > MAX_HEIGHT || !has_parts) {
        return;
    }
    self->decode_opcode = opcode;
    /* What is a dimension of an array and what an element is plain where no element is a list: of scalars of known classes
       and of ranges. Else the codec knows. */
    Opcode inner = self->element == NULL ? OP_CALL : self->element->encode_opcode;
    if (opcode != OP_ARRAY || inner == OP_RANGE || (inner != OP_CALL && !is_container(inner))) {
        self->encode_opcode = opcode;
    }
}

static bool
fill_codec(State *state, Codec *self, PyObject *source, PyObject *made, int depth)
{
    self->decode = PyObject_GetAttrString(source, "decode");
    self->encode = PyObject_GetAttrString(source, "encode");
    PyObject *oid = PyObject_GetAttrString(source, "oid");
    PyObject *opcode = PyObject_GetAttrString(source, "opcode");
    PyObject *format = PyObject_GetAttrString(source, "format");
    PyObject *atomic = PyObject_GetAttrString(source, "atomic");
    PyObject *user = PyObject_GetAttrString(source, "user");
    bool done = self->decode != NULL && self->encode != NULL && oid != NULL && opcode != NULL && format != NULL
                && atomic != NULL && user != NULL;
    if (done) {
        unsigned long number = PyLong_AsUnsignedLongMask(oid);
        long code = PyLong_AsLong(opcode);
        int is_atomic = PyObject_IsTrue(atomic);
        int is_user = PyObject_IsTrue(user);
        done = !PyErr_Occurred();
        if (done) {
            self->oid = (uint32_t)number;
            self->atomic = is_atomic;
            self->user = is_user;
            Opcode known = code < 0 || code > OP_COMPOSITE ? OP_CALL : (Opcode)code;
            if (depth > MAX_DEPTH) {
                self->height = MAX_HEIGHT + 1;
            }
            else {
                done = add_parts(state, self, source, known, made, depth);
            }
            choose_opcodes(self, known, format == state->binary_format);
        }
    }
    Py_XDECREF(oid);
    Py_XDECREF(opcode);
    Py_XDECREF(format);
    Py_XDECREF(atomic);
    Py_XDECREF(user);
    return done;
}

/* The Codec of a ValueCodec. `made` has those of this plan already, by their ids: types may share their parts, which
   share theirs. */
static Codec *
codec_of(State *state, PyObject *source, PyObject *made, int depth)
{
    PyObject *key = PyLong_FromVoidPtr(source);
    if (key == NULL) {
        return NULL;
    }
    Codec *self = (Codec *)Py_XNewRef(PyDict_GetItemWithError(made, key));
    if (self == NULL && !PyErr_Occurred()) {
        self = PyObject_GC_New(Codec, state->codec_type);
        if (self != NULL) {
            memset((char *)self + sizeof(PyObject), 0, sizeof(Codec) - sizeof(PyObject));
            bool done = fill_codec(state, self, source, made, depth);
            PyObject_GC_Track(self);
            if (!done || PyDict_SetItem(made, key, (PyObject *)self) < 0) {
                Py_CLEAR(self);
            }
        }
    }
    Py_DECREF(key);
    return self;
}

/* The codecs of a plan; NULL and an exception if there is an error. */
static Codec **
codecs_of_plan(State *state, PyObject *sources)
{
    PyObject *made = PyDict_New();
    if (made == NULL) {
        return NULL;
    }
    Codec **codecs = codecs_of(state, sources, made, 0);
    Py_DECREF(made);
    return codecs;
}

/* Rows */

static int
row_plan_traverse(RowPlan *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->names);
    Py_VISIT(self->codecs);
    Py_VISIT(self->record_class);
    Py_VISIT(self->columns);
    for (Py_ssize_t index = 0; index < self->count; index++) {
        Py_VISIT(self->columns_codecs[index]);
    }
    return 0;
}

/* Only a cycle through the codecs' functions or the class of the rows can hold it, and those can be cleared. */

static void
row_plan_dealloc(RowPlan *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->names);
    Py_XDECREF(self->codecs);
    Py_XDECREF(self->record_class);
    Py_XDECREF(self->columns);
    free_codecs(self->columns_codecs, self->count);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

PyObject *
make_row_plan(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    if (!check_count("row_plan", count, 3) || !check_type(args[0], &PyTuple_Type, "names")
        || !check_type(args[1], &PyTuple_Type, "codecs") || !check_type(args[2], &PyType_Type, "record_class")) {
        return NULL;
    }
    PyObject *names = args[0], *codecs = args[1];
    PyTypeObject *record_class = (PyTypeObject *)args[2];
    if (!PyType_IsSubtype(record_class, state->record_type)) {
        PyErr_Format(PyExc_TypeError, "%s is no subclass of Record", record_class->tp_name);
        return NULL;
    }
    if (PyTuple_GET_SIZE(names) != PyTuple_GET_SIZE(codecs)) {
        PyErr_Format(PyExc_ValueError, "%zd column names for %zd codecs", PyTuple_GET_SIZE(names),
                     PyTuple_GET_SIZE(codecs));
        return NULL;
    }
    Codec **columns_codecs = codecs_of_plan(state, codecs);
    Columns *columns = columns_codecs == NULL ? NULL : columns_new(state, names);
    RowPlan *self = columns == NULL ? NULL : PyObject_GC_New(RowPlan, state->row_plan_type);
    if (self == NULL) {
        Py_XDECREF(columns);
        free_codecs(columns_codecs, PyTuple_GET_SIZE(codecs));
        return NULL;
    }
    self->names = Py_NewRef(names);
    self->codecs = Py_NewRef(codecs);
    self->record_class = (PyTypeObject *)Py_NewRef(record_class);
    self->columns = columns;
    self->count = PyTuple_GET_SIZE(codecs);
    self->columns_codecs = columns_codecs;
    self->tracked = record_class != state->record_type;
    for (Py_ssize_t index = 0; index < self->count; index++) {
        self->tracked |= !columns_codecs[index]->atomic;
    }
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static PyObject *
row_plan_record(RowPlan *self, PyObject *sequence)
{
    PyObject *values = PySequence_Tuple(sequence);
    PyObject *record = NULL;
    if (values != NULL) {
        record = record_of(self->columns->state, self->record_class, self->columns, values);
        Py_DECREF(values);
    }
    return record;
}

static PyMethodDef row_plan_methods[] = {
    {"record", (PyCFunction)row_plan_record, METH_O,
     "record($self, values, /)\n--\n\nA record of these values, one per column, already decoded."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef row_plan_members[] = {
    {"names", T_OBJECT_EX, offsetof(RowPlan, names), READONLY, NULL},
    {"codecs", T_OBJECT_EX, offsetof(RowPlan, codecs), READONLY, NULL},
    {"record_class", T_OBJECT_EX, offsetof(RowPlan, record_class), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot row_plan_slots[] = {
    {Py_tp_doc, "How the rows of one result are decoded; see `pgsansio.kernel.contract`."},
    {Py_tp_dealloc, row_plan_dealloc},
    {Py_tp_traverse, row_plan_traverse},
    {Py_tp_methods, row_plan_methods},
    {Py_tp_members, row_plan_members},
    {0, NULL},
};

static PyType_Spec row_plan_spec = {
    .name = "pgsansio.kernel.RowPlan",
    .basicsize = sizeof(RowPlan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = row_plan_slots,
};

/* Parameters */

static int
parameter_plan_traverse(ParameterPlan *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->codecs);
    for (Py_ssize_t index = 0; index < self->count; index++) {
        Py_VISIT(self->parameters[index]);
    }
    return 0;
}

static void
parameter_plan_dealloc(ParameterPlan *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->codecs);
    Py_XDECREF(self->head);
    free_codecs(self->parameters, self->count);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

PyObject *
make_parameter_plan(PyObject *module, PyObject *codecs)
{
    State *state = PyModule_GetState(module);
    if (!check_type(codecs, &PyTuple_Type, "codecs")) {
        return NULL;
    }
    PyObject *head = PyObject_CallOneArg(state->parameter_head, codecs);
    if (head == NULL) {
        return NULL;
    }
    Codec **parameters = check_type(head, &PyBytes_Type, "the head") ? codecs_of_plan(state, codecs) : NULL;
    ParameterPlan *self = parameters == NULL ? NULL : PyObject_GC_New(ParameterPlan, state->parameter_plan_type);
    if (self == NULL) {
        Py_DECREF(head);
        free_codecs(parameters, PyTuple_GET_SIZE(codecs));
        return NULL;
    }
    self->codecs = Py_NewRef(codecs);
    self->head = head;
    self->count = PyTuple_GET_SIZE(codecs);
    self->parameters = parameters;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static PyMemberDef parameter_plan_members[] = {
    {"codecs", T_OBJECT_EX, offsetof(ParameterPlan, codecs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot parameter_plan_slots[] = {
    {Py_tp_doc, "How the arguments of one statement are encoded; see `pgsansio.kernel.contract`."},
    {Py_tp_dealloc, parameter_plan_dealloc},
    {Py_tp_traverse, parameter_plan_traverse},
    {Py_tp_members, parameter_plan_members},
    {0, NULL},
};

static PyType_Spec parameter_plan_spec = {
    .name = "pgsansio.kernel.ParameterPlan",
    .basicsize = sizeof(ParameterPlan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = parameter_plan_slots,
};

bool
plan_types_init(PyObject *module, State *state)
{
    state->codec_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &codec_spec, NULL);
    state->row_plan_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &row_plan_spec, NULL);
    state->parameter_plan_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &parameter_plan_spec, NULL);
    return state->codec_type != NULL && state->row_plan_type != NULL && state->parameter_plan_type != NULL;
}
