"""What an app's files import from elsewhere before any code of their own has an effect, in that order, from their source.

Python runs a module from the top: this follows it through imports, into the app's other files too, over definitions and
assignments of plain values to names, and ends at the first statement that is anything else.
"""
import ast
import os
import sys


class _Effect(Exception):
    """From here on the app's own code decides what happens."""


def _plain(node):
    """An expression that computes something of names and constants: no call."""
    allowed = (ast.Constant, ast.Name, ast.Attribute, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.BinOp, ast.UnaryOp,
               ast.BoolOp, ast.Compare, ast.IfExp, ast.JoinedStr, ast.FormattedValue, ast.Subscript, ast.Slice,
               ast.Starred, ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
    return node is None or all(isinstance(part, allowed) for part in ast.walk(node))


def _is_type_checking(test):
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING")


def _is_main(test):
    return (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
            and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)
            and isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value == "__main__")


class _Scan:
    def __init__(self, app):
        self.own = app.own
        self.there = set(sys.modules) | set(sys.builtin_module_names)  # found before any file of the app's
        self.seen = set()
        self.items = []

    # --- names ---

    def _find(self, name):
        """(file or None for a namespace, whether it is a package) of one of the app's own modules, or None."""
        parts = name.split(".")
        for directory in self.own:
            at = os.path.join(directory, *parts)
            if os.path.isfile(os.path.join(at, "__init__.py")):
                return os.path.join(at, "__init__.py"), True
            if os.path.isfile(at + ".py"):
                return at + ".py", False
            if os.path.isdir(at):
                return None, True
        return None

    def _is_own(self, top):
        if top in self.there:
            return False
        if self._find(top):
            return True
        for directory in self.own:  # an extension module, or what else an importer may know
            try:
                if any(entry.partition(".")[0] == top for entry in os.listdir(directory)):
                    raise _Effect
            except OSError:
                pass
        return False

    def module(self, name, symbols, optional):
        top = name.partition(".")[0]
        if not self._is_own(top):
            item = (name, tuple(symbols), optional)
            if item not in self.items:
                self.items.append(item)
            return
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            self._own_module(".".join(parts[:count]))
        for symbol in symbols:
            if symbol == "*" or self._find(name + "." + symbol):
                self._own_module(name + "." + symbol)

    def _own_module(self, name):
        found = self._find(name)
        if not found:
            raise _Effect
        file, is_package = found
        if file:
            self.file(file, name if is_package else name.rpartition(".")[0])

    # --- statements ---

    def file(self, file, package):
        if file in self.seen:
            return
        self.seen.add(file)
        try:
            with open(file, "rb") as stream:
                tree = ast.parse(stream.read())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            raise _Effect from None
        self._body(tree.body, package, False)

    def _body(self, body, package, optional):
        for node in body:
            self._statement(node, package, optional)

    def _statement(self, node, package, optional):
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.module(alias.name, (), optional)
        elif isinstance(node, ast.ImportFrom):
            self._import_from(node, package, optional)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._function(node)
        elif isinstance(node, ast.ClassDef):
            if node.decorator_list or node.bases or node.keywords:
                raise _Effect
            self._body(node.body, package, optional)
        elif isinstance(node, ast.If):
            self._if(node, package, optional)
        elif isinstance(node, ast.Try):
            self._body(node.body, package, True)
            for statement in (statement for handler in node.handlers for statement in handler.body):
                self._instead(statement)
            self._body(node.orelse, package, True)
            self._body(node.finalbody, package, optional)
        elif not self._is_plain(node):
            raise _Effect

    def _instead(self, node):
        """Of a handler, which may run or not: it must not matter."""
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
            [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else [])
        if not (self._is_plain(node) or names) or any(self._is_own(name.partition(".")[0]) for name in names):
            raise _Effect

    @staticmethod
    def _is_plain(node):
        if isinstance(node, ast.Pass):
            return True
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant)
        if isinstance(node, ast.AnnAssign):
            return isinstance(node.target, ast.Name) and _plain(node.value) and _plain(node.annotation)
        return isinstance(node, ast.Assign) and _plain(node.value) and all(
            isinstance(target, ast.Name) for target in node.targets)

    @staticmethod
    def _function(node):
        arguments = node.args
        annotated = arguments.posonlyargs + arguments.args + arguments.kwonlyargs + [arguments.vararg, arguments.kwarg]
        evaluated = [argument.annotation for argument in annotated if argument] + arguments.defaults
        if node.decorator_list or not all(map(_plain, evaluated + arguments.kw_defaults + [node.returns])):
            raise _Effect

    def _if(self, node, package, optional):
        if not (_is_type_checking(node.test) or _is_main(node.test)):
            raise _Effect
        self._body(node.orelse, package, optional)

    def _import_from(self, node, package, optional):
        symbols = [alias.name for alias in node.names]
        if node.level == 0:
            if node.module != "__future__":
                self.module(node.module, symbols, optional)
            return
        parts = package.split(".") if package else []
        if len(parts) < node.level:
            raise _Effect
        parts = parts[: len(parts) - node.level + 1] + ([node.module] if node.module else [])
        self.module(".".join(parts), symbols, optional)


def _module_of(path):
    """As loading.py imports a handler's file; None: by its path."""
    stem = path[: -len(".py")]
    if "." in stem:
        return None
    return (stem[: -len("/__init__")] if stem.endswith("/__init__") else stem).replace("/", ".")


def scan(app):
    """[(module, symbols of it, whether it may be missing)]"""
    found = _Scan(app)
    try:
        for name in app.modules:
            found.module(name, (), False)
        for handler in app.handlers:
            path = os.path.normpath(handler.rpartition(":")[0])
            name = _module_of(path) if path.endswith(".py") else None
            if name is None or not found._is_own(name.partition(".")[0]):
                raise _Effect
            found.module(name, (), False)
    except _Effect:
        pass
    return found.items
