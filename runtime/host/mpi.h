/* MPI in a host: its ranks are processes that know each other, and a clone would be none of them.
 */
#ifndef RUNTIME_HOST_MPI_H
#define RUNTIME_HOST_MPI_H

#include "ramet/error.h"

/* mpi_refuse - RAMET_EREFUSED if the process has initialised an MPI library, and not finalised it;
 * before threads are stopped: the dynamic linker has locks */
int mpi_refuse(struct ramet_err *err);

#endif
