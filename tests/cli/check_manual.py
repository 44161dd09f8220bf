"""check_manual.py BIN LIBRARY SOURCE: the man pages have what there is, and nothing that there is not: each exported symbol and
each struct of the header in ramet(3), each verb with its options in ramet(1), the keys of configurations in rametd(8) and
ramet.yaml(5), each option of rametd."""
import pathlib
import re
import subprocess
import sys

BIN, LIBRARY, SOURCE = (pathlib.Path(arg) for arg in sys.argv[1:])
COMMON = {"--help", "--json", "--socket"}  # said once for all verbs
problems = []


def page(name):
    """A page's text without roff: requests, fonts, escapes."""
    text = (SOURCE / "man" / name).read_text()
    text = re.sub(r'^\.\\".*$', "", text, flags=re.M)
    text = re.sub(r"\\f[BRIP]", "", text).replace(r"\-", "-").replace(r"\e", "\\").replace(r"\&", "")
    text = re.sub(r'^\.(?:BR?|BI|I|IR|RB|RI|TP|SH|SS|IP)\b', "", text, flags=re.M)
    return text.replace('"', "")


def run(*args):
    return subprocess.run([str(arg) for arg in args], capture_output=True, text=True, check=True).stdout


def need(where, what, text):
    if not re.search(r"(?<![\w-])" + re.escape(what) + r"(?![\w-])", text):
        problems.append(f"{where} has no {what}")


# --- ramet(3) ---


def check_library():
    text = page("ramet.3")
    table = [line.split() for line in run("nm", "-D", "--defined-only", LIBRARY).splitlines()]
    symbols = {name.partition("@")[0] for _, kind, name in table if kind != "A"}
    if not symbols:
        problems.append(f"{LIBRARY} exports nothing")
    header = (SOURCE / "include/ramet/ramet.h").read_text()
    inline = set(re.findall(r"static inline [^(]*?(ramet_\w+)\(void\)", header))
    types = set(re.findall(r"^(?:struct|enum) (ramet_\w+) ?[{;]", header, re.M)) | set(
        re.findall(r"typedef \w+ \(\*(ramet_\w+)\)", header))
    flags = set(re.findall(r"#define (RAMET_CALL_\w+|RAMET_MAX_\w+)", header))
    for name in sorted(symbols | inline | types | flags):
        need("ramet(3)", name, text)
    for name in sorted(set(re.findall(r"\bramet_[a-z_]+(?= *\()", text)) - symbols - inline):
        problems.append(f"ramet(3) has {name}, which the library has not")


# --- ramet(1) ---


def verbs():
    return re.findall(r"^  (\w+) ", run(BIN / "ramet", "--help").partition("Verbs:")[2], re.M)


def options(verb):
    """{"--nodes", "-n", …}"""
    found = set()
    for line in run(BIN / "ramet", verb, "--help").splitlines():
        if re.match(r" +-", line):
            found |= set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", re.split(r"\s{2,}", line.strip())[0]))
    return found


def paragraph(verb, text):
    """What is said of a verb: from the line that names it to the next one."""
    lines = text.splitlines()
    begins = [i for i, line in enumerate(lines) if re.match(rf" *(ramet \w+ *, *)*ramet {verb}\b", line)]
    if not begins:
        problems.append(f"ramet(1) has no verb {verb}")
        return ""
    end = begins[0] + 1
    while end < len(lines) and not re.match(r" *ramet \w+( |$)", lines[end]):
        end += 1
    return "\n".join(lines[begins[0]:end])


def check_commands():
    text = page("ramet.1")
    everywhere = set()
    for verb in verbs():
        said = paragraph(verb, text)
        has = options(verb)
        if not has:
            problems.append(f"ramet {verb} --help shows no option")
        everywhere |= has
        if verb == "run":
            said += paragraph("deploy", text) + paragraph("burst", text)  # it takes their options
        for option in sorted(has - COMMON - {"-h"}):
            need(f"ramet(1), {verb},", option, said)
    for option in sorted(COMMON):
        need("ramet(1)", option, text)
    for option in sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - everywhere - COMMON):
        if option != "--config":  # rametd's
            problems.append(f"ramet(1) has {option}, which no verb has")


# --- configurations ---


def keys(path):
    """Of the tables by which a file is checked."""
    text = (SOURCE / path).read_text()
    text = re.sub(r"^#define.*(?:\\\n.*)*", "", text, flags=re.M)
    found = set(re.findall(r'CYAML_FIELD_\w+\(\s*"(\w+)"', text))
    found |= {name for _, name in re.findall(r"\bOPTIONAL_\w+\(([^,()]+), (\w+)\)", text)}
    found |= set(re.findall(r"\bTEXT\((\w+), ", text)) | set(re.findall(r'\.key = "(\w+)"', text))
    if len(found) < 8:
        problems.append(f"no tables of keys are found in {path}")
    return found


def check_configurations():
    for path, name, where in (("cluster/node_config.c", "rametd.8", "rametd(8)"),
                              ("libramet/app_config.c", "ramet.yaml.5", "ramet.yaml(5)")):
        text = page(name)
        for key in sorted(keys(path)):
            need(where, key, text)
    text = page("rametd.8")
    for option in sorted(set(re.findall(r"--[a-z]+", run(BIN / "rametd", "--help"))) - {"--help", "--version"}):
        need("rametd(8)", option, text)


check_library()
check_commands()
check_configurations()
print("\n".join(problems) or "the pages are complete")
sys.exit(bool(problems))
