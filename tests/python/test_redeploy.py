"""Versions: going back, and that redeployments lose no call. RAMET_REDEPLOYS: how many, 30 if it is not set."""
import os
import pathlib
import threading

import support
from support import cluster

import ramet

REDEPLOYS = int(os.environ.get("RAMET_REDEPLOYS", "30"))
HANDLER = "def handler(event, context):\n    return [{}, context.version]\n"


class Versions(support.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.deploy(cls, 1, "gone")
        cls.deploy(cls, 2, "gone")  # the seed of the first is kept for half a minute, in which the other tests run

    def deploy(self, value, name="versions", *options):
        return self.cluster.deploy(self.cluster.scratch.write(f"{name}.py", HANDLER.format(value)), *options)["version"]

    def rows(self, name="versions"):
        rows = self.cluster.run("functions", "--versions", "--json").json()
        return [(row["version"], row["state"], row["latest"]) for row in rows if row["function"] == name]

    def test_rollback(self):
        one, two, three = (self.deploy(value) for value in (1, 2, 3))
        self.assertEqual(self.rows(), [(three, "current", True), (two, "past", False), (one, "past", False)])
        back = self.cluster.run("rollback", "versions", "--json").json()
        self.assertEqual((back["version"], back["function"]), (two, "versions"))
        for node in (1, 2):
            self.assertEqual(self.cluster.invoke("versions", node=node)["output"], [2, two])
        self.assertEqual(self.rows(), [(two, "current", False), (three, "past", True), (one, "past", False)])
        self.cluster.client_of(2).run("rollback", "versions", "--version", one[:10])  # another node, where none of it was deployed
        for node in (1, 2):
            self.assertEqual(self.cluster.invoke("versions", node=node)["output"], [1, one])
        self.cluster.run("rollback", "versions", "--version", "latest")
        self.assertEqual(self.cluster.invoke("versions")["output"], [3, three])
        for wrong, says in (("latest", "at version"), ("ffffffffffff", "no earlier version ffffffffffff")):
            ran = self.cluster.run("rollback", "versions", "--version", wrong, code=cluster.REFUSED)
            self.assertIn(says, ran.err)
        self.cluster.run("rollback", "nobody", code=cluster.REFUSED)
        # the same again is no new version; eight are kept, and their files
        self.assertEqual(self.deploy(3), three)
        later = [self.deploy(value) for value in range(10, 20)]
        self.assertEqual([version for version, _, _ in self.rows()], later[:0:-1])
        stores = [pathlib.Path(self.cluster.directory) / f"node{node}/store/apps" for node in (1, 2)]
        support.eventually("the files of others go", lambda: all(
            not (store / version).exists() for store in stores for version in (one, two, three)), 60)
        self.cluster.run("rollback", "versions", "--version", later[1])
        self.assertEqual(self.cluster.invoke("versions")["output"], [11, later[1]])
        self.cluster.run("remove", "versions")
        support.eventually("all go with the function", lambda: all(
            not (store / version).exists() for store in stores for version in later), 60)

    def test_rollback_of_a_seed_that_is_gone(self):
        first = self.first
        support.eventually("its seed is gone", lambda: not self.cluster.list("seeds", version=first), 60)
        self.assertEqual(self.cluster.run("rollback", "gone", "--json").json()["start"], "local-fork")
        self.assertEqual(self.cluster.invoke("gone", node=2)["output"], [1, first])

    def test_an_app_goes_back_as_a_whole(self):
        a = self.deploy(1, "ra", "--app", "both")
        both = self.deploy(2, "rb", "--app", "both")
        last = self.deploy(3, "rb", "--app", "both")
        self.assertEqual(self.cluster.invoke("ra")["output"], [1, last])
        self.cluster.run("rollback", "rb")
        self.assertEqual([self.cluster.invoke(name)["output"] for name in ("ra", "rb")], [[1, both], [2, both]])
        self.cluster.run("rollback", "ra", "--version", a[:12])  # before rb was there: that stays what it was
        self.assertEqual([self.cluster.invoke(name)["output"] for name in ("ra", "rb")], [[1, a], [2, both]])


class Redeploy(support.Case):
    def test_redeployments_lose_no_call(self):
        path = self.cluster.scratch.write("busy.py", HANDLER.format(0))
        self.cluster.deploy(path)
        latest, done = 0, threading.Event()
        counts, failures = {}, []

        def load(which, node):
            with ramet.Client() as client:
                while not done.is_set() and not failures:
                    least = latest
                    try:
                        value = client.call("busy", None, node=node)[0]
                    except Exception as exc:
                        failures.append(f"{which}: {exc!r} after {least}")
                        return
                    counts[which] = counts.get(which, 0) + 1
                    if value < least:  # a call that began after the deployment's answer
                        failures.append(f"{which}: {value} after {least}")

        threads = [threading.Thread(target=load, args=args) for args in (("leased", 0), ("here", 1), ("there", 2))]
        for thread in threads:
            thread.start()
        with ramet.Client() as client:
            for turn in range(1, REDEPLOYS + 1):
                path.write_text(HANDLER.format(turn))
                client.deploy(path)
                latest = turn
                before = dict(counts)
                support.eventually("calls go on everywhere", lambda: failures or all(
                    counts.get(which, 0) > before.get(which, 0) for which in ("leased", "here", "there")), 30)
                if failures:
                    break
        done.set()
        for thread in threads:
            thread.join()
        print(f"{latest} redeployments, {sum(counts.values())} calls: {counts}")
        self.assertEqual(failures, [])


if __name__ == "__main__":
    support.main()
