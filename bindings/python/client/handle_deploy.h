/* Handle.deploy() */
#ifndef BINDINGS_PYTHON_CLIENT_HANDLE_DEPLOY_H
#define BINDINGS_PYTHON_CLIENT_HANDLE_DEPLOY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *handle_deploy(PyObject *object, PyObject *args, PyObject *kwargs);

#endif
