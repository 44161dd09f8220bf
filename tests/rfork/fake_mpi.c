/* As much of an MPI library as a capture asks for. */
int MPI_Init(int *argc, char ***argv);
int MPI_Initialized(int *flag);
int MPI_Finalized(int *flag);

static int initialised;

__attribute__((visibility("default"))) int MPI_Init(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	initialised = 1;
	return 0;
}

__attribute__((visibility("default"))) int MPI_Initialized(int *flag)
{
	*flag = initialised;
	return 0;
}

__attribute__((visibility("default"))) int MPI_Finalized(int *flag)
{
	*flag = 0;
	return 0;
}
