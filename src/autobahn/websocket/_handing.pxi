# How messages are handed to a program, in C: included by _frames.pyx.

cdef extern from *:
    """
    #if defined(__GNUC__)
    #pragma GCC diagnostic push
    #pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    #endif

    /* function(payload, is_binary), whatever that returns or raises. */
    static PyObject *ab_call(PyObject *function, PyObject *payload, int is_binary)
    {
        PyObject *args[4] = {NULL, NULL, payload, is_binary ? Py_True : Py_False}, *callee = function, *result;
        PyObject **from = args + 2;
        size_t count = 2;
        vectorcallfunc call;
        if (PyMethod_Check(function)) {
            args[1] = PyMethod_GET_SELF(function);
            callee = PyMethod_GET_FUNCTION(function);
            from = args + 1;
            count = 3;
        }
        Py_INCREF(function); /* it may be replaced meanwhile */
        call = PyFunction_Check(callee) ? ((PyFunctionObject *)callee)->vectorcall : PyVectorcall_Function(callee);
        result = call ? call(callee, from, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
                      : PyObject_Vectorcall(callee, from, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        Py_DECREF(function);
        return result;
    }

    /* What changes with every change of a dict (PEP 509, until Python 3.12); 0: nothing does. */
    #if PY_VERSION_HEX < 0x030D0000 && !defined(PYPY_VERSION)
    static uint64_t ab_version(PyObject *dict)
    {
        return ((PyDictObject *)dict)->ma_version_tag;
    }
    #else
    static uint64_t ab_version(PyObject *dict)
    {
        return 0;
    }
    #endif

    /* The exception that is set is noticed. */
    static int ab_raise(void)
    {
        return -1;
    }

    /* Bytes of that size to be filled: `spent` if only we refer to them and they fit, which takes that reference. */
    static PyObject *ab_bytes(PyObject **spent, Py_ssize_t size)
    {
        PyObject *bytes = *spent;
        if (bytes != NULL) {
            *spent = NULL;
            if (Py_REFCNT(bytes) == 1 && PyBytes_GET_SIZE(bytes) == size) {
                ((PyBytesObject *)bytes)->ob_shash = -1;
                return bytes;
            }
            Py_DECREF(bytes);
        }
        return PyBytes_FromStringAndSize(NULL, size);
    }

    #if defined(__GNUC__)
    #pragma GCC diagnostic pop
    #endif
    """
    PyObject *ab_call(PyObject *, PyObject *, int) noexcept
    u64 ab_version(PyObject *) noexcept
    PyObject *ab_bytes(PyObject **, Py_ssize_t) except NULL
    int ab_raise() except -1
