"""Hostile functions, native, in Python and in isolates, called by socket, through a lease, and each in an instance of its own: every kind
of harm ends in its own named error, the next call is served, and nothing is left behind."""
import hostile
import support


class Hostile(hostile.Case):
    maxDiff = None

    def cell(self, node, lang, path, kind):
        function = f"{lang}-{path}" if path in hostile.FRESH else lang
        self.good(node, function, lang, path)
        number = next(self.numbers)
        for deadline in (1.0, 10.0):
            deadline = deadline if kind in hostile.TIMED else 0.0
            result = node.call(function, kind, number, path, deadline=deadline)
            if not hostile.too_late(result):
                break
        with self.subTest(lang=lang, path=path, kind=kind, node=node.number):
            problem = hostile.wrong(lang, kind, number, result)
            self.assertIsNone(problem)
            self.assertEqual(hostile.leased(result), path != "socket")
        self.good(node, function, lang, path)

    def test_matrix(self):
        before = self.counts()
        nodes = self.open()
        turn = 0
        for lang in hostile.LANGS:
            for path in hostile.PATHS[lang]:
                for kind in hostile.KINDS[lang]:
                    if kind in hostile.OWN and path not in hostile.FRESH:
                        continue
                    self.cell(nodes[turn % len(nodes)], lang, path, kind)
                    turn += 1
        for node in nodes:
            node.close()
        self.assertEqual(self.counts(), before)


if __name__ == "__main__":
    support.main()
