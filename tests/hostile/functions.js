// A function that does what its input says, "kind id": well, or harm. See functions.c. It cannot count itself where a test
// would see it: it has no memory but its own.
const loop = () => {
	for (;;);
};

function recursion(n) {
	return 1 + recursion(n + 1);
}

const kinds = {
	good() {},
	loop,
	// swallows what it can
	stubborn() {
		for (;;) {
			try {
				loop();
			} catch {
			} finally {
				loop();
			}
		}
	},
	// jobs that make jobs
	jobs() {
		const again = () => queueMicrotask(again);
		again();
		return new Promise(() => {});
	},
	// a promise that waits for ever, with a timer that keeps it waiting
	timers() {
		setInterval(() => {}, 1);
		return new Promise(() => {});
	},
	never() {
		return new Promise(() => {});
	},
	memory() {
		const kept = [];
		for (let i = 0; i < 1 << 20; i++)
			kept.push(new Array(1024).fill(i));
	},
	buffers() {
		const kept = [];
		for (let i = 0; i < 4096; i++)
			kept.push(new Uint8Array(1 << 20).fill(1));
	},
	text() {
		for (const kept = []; ; ) {
			const text = 'x'.repeat(1 << 20) + kept.length;
			text.charCodeAt(1); // now it is in one piece
			kept.push(text);
		}
	},
	recursion: () => recursion(1),
	print() {
		for (let i = 0; i < 4096; i++)
			console.log('x'.repeat(1023));
	},
	// a pattern that goes back over what it had for ever
	pattern: () => /^(a+)+$/.test('a'.repeat(64) + 'b'),
	// what all of the context shares is spoilt
	spoil() {
		Object.prototype.toJSON = () => 'spoilt';
		Object.prototype.then = (resolve) => resolve('spoilt');
		Array.prototype[Symbol.iterator] = Array.prototype.map = loop;
		Promise.prototype.then = Function.prototype.call = loop;
		JSON.parse = JSON.stringify = loop;
		Object.defineProperty(Object.prototype, 'id', { get: loop, set: loop });
		const { Reflect } = globalThis, all = globalThis, names = Object.getOwnPropertyNames(all);
		for (let i = 0; i < names.length; i++)
			Reflect.deleteProperty(all, names[i]);
	},
	// what contexts are kept from
	escape() {
		const found = ['require', 'process', 'global', 'Buffer', 'fetch', 'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'Deno']
			.filter((name) => name in globalThis);
		if (found.length > 0)
			throw new Error(found.join(' '));
		return import('fs').then(() => { throw new Error('import'); }, () => {});
	},
};

export async function behave(event) {
	const [kind, number] = event.split(' ');
	const result = Number(number);
	if (kind === 'output')
		return 'x'.repeat(2 << 20);
	if (kind === 'raise')
		throw new RangeError(`no ${number}`);
	if (kind === 'spoil')
		return kinds.spoil(), result;
	await kinds[kind]();
	return result;
}
