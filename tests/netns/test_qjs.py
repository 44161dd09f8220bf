"""The same JavaScript by QuickJS (lang: qjs), but for what is said of machine code made while it runs."""
import cluster
import test_js


class Qjs(test_js.Js):
    LANG = "qjs"
    test_starts_hot_on_another_node = test_optimised_code_is_there_on_another_node = None


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
