"""A module of a package, with a relative import and a handler that is a method."""
from . import helper


class Service:
    def packaged(self, event, context):
        return helper.double(event)


service = Service()
