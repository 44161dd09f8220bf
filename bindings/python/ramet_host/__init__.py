"""The Python engine of Ramet: loads an app's functions and runs them, in a process that Ramet forks.

rametd starts it as ``python3 .../ramet_host/__main__.py`` with the interpreter that the app names. Applications need
nothing from here; a handler is ``def handler(event, context)``.
"""
