/* Asking the MPI library that is loaded, whichever it is: two functions of the standard tell. */
#include "runtime/host/mpi.h"

#include "base/err.h"

#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

/* the first library that is called libmpi…; true ends the search */
static int find(struct dl_phdr_info *info, size_t size, void *user)
{
	const char **ret_path = user;
	const char *base = strrchr(info->dlpi_name, '/');
	(void)size;
	if (!base || strncmp(base, "/libmpi", 7) != 0)
		return 0;
	*ret_path = info->dlpi_name;
	return 1;
}

static int ask(void *library, const char *question)
{
	int answer = 0;
	void *symbol = dlsym(library, question);
	int (*fn)(int *flag);
	memcpy(&fn, &symbol, sizeof(fn));
	return fn && fn(&answer) == 0 && answer;
}

int mpi_refuse(struct ramet_err *err)
{
	const char *path = NULL;
	if (!dl_iterate_phdr(find, &path))
		return 0;
	void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
	if (!library)
		return 0;
	int running = ask(library, "MPI_Initialized") && !ask(library, "MPI_Finalized");
	if (running)
		(void)err_set(err, RAMET_EREFUSED,
			"capture refused: MPI is initialised (%s), and a clone would be no rank of "
			"it; "
			"call MPI_Init in the handler, or MPI_Finalize before the import ends",
			path);
	dlclose(library);
	return running ? RAMET_EREFUSED : 0;
}
