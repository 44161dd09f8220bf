// What a context has beyond the language: written in JavaScript, in terms of a few native functions, for V8 (js_context.cc)
// and QuickJS (runtime/qjs/start.js). It keeps what it uses of the language, since the application may change that.
(function (natives, random) {
'use strict';
const { write, monotonic, about, emit, progress, encode, decode } = natives;
const { stringify } = JSON;
const toText = String, isArray = Array.isArray;
const defineProperty = Object.defineProperty;

function define(target, name, value) {
	defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
}

/* --- randomness: sfc32 (C. Doty-Humphrey, PractRand), whose state each clone gets anew --- */
function next() {
	const t = (random[0] + random[1] | 0) + random[3] | 0;
	random[3] = random[3] + 1 | 0;
	random[0] = random[1] ^ random[1] >>> 9;
	random[1] = random[2] + (random[2] << 3) | 0;
	random[2] = (random[2] << 21 | random[2] >>> 11) + t | 0;
	return t >>> 0;
}
define(Math, 'random', function random() {
	return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
});

/* --- console --- */
function shown(value) {
	if (typeof value === 'string')
		return value;
	if (value instanceof Error)
		return toText(value.stack);
	try {
		return typeof value === 'object' && value !== null ? stringify(value) : toText(value);
	} catch {
		return typeof value;
	}
}
function line(fd, values) {
	let all = '';
	for (let i = 0; i < values.length; i++)
		all += (i > 0 ? ' ' : '') + shown(values[i]);
	write(fd, all + '\n');
}
const log = (...values) => line(1, values);
const warn = (...values) => line(2, values);
define(globalThis, 'console', { log, info: log, debug: log, warn, error: warn, trace: warn });

/* --- timers --- */
let timers = [], lastId = 0;
function add(fn, ms, args, every) {
	if (typeof fn !== 'function')
		throw new TypeError('a timer calls a function');
	ms = +ms > 0 ? +ms : 0;
	timers[timers.length] = { id: ++lastId, fn, args, due: monotonic() + ms, every: every ? ms || 1 : 0 };
	return lastId;
}
function remove(id) {
	let kept = 0;
	for (let i = 0; i < timers.length; i++)
		if (timers[i].id !== id)
			timers[kept++] = timers[i];
	timers.length = kept;
}
function tick() {
	const now = monotonic();
	let first = -1;
	for (let i = 0; i < timers.length; i++)
		if (first < 0 || timers[i].due < timers[first].due)
			first = i;
	if (first < 0)
		return -1;
	const timer = timers[first];
	if (timer.due > now)
		return timer.due - now;
	if (timer.every > 0)
		timer.due = now + timer.every;
	else
		remove(timer.id);
	const { fn, args } = timer;
	fn(...args);
	return 0;
}
function forget() {
	timers = [];
}
define(globalThis, 'setTimeout', (fn, ms, ...args) => add(fn, ms, args, false));
define(globalThis, 'setInterval', (fn, ms, ...args) => add(fn, ms, args, true));
define(globalThis, 'clearTimeout', remove);
define(globalThis, 'clearInterval', remove);
const resolved = Promise.resolve(), then = Promise.prototype.then, call = Function.prototype.call.bind(then);
define(globalThis, 'queueMicrotask', (fn) => { call(resolved, () => { fn(); }); });

/* --- text --- */
define(globalThis, 'TextEncoder', class TextEncoder {
	get encoding() { return 'utf-8'; }
	encode(text = '') { return encode(toText(text)); }
});
define(globalThis, 'TextDecoder', class TextDecoder {
	constructor(label = 'utf-8') {
		if (!/^utf-?8$/i.test(label))
			throw new RangeError('UTF-8 is the one encoding here');
	}
	get encoding() { return 'utf-8'; }
	decode(bytes) { return bytes === undefined ? '' : decode(bytes); }
});
const origin = monotonic();
define(globalThis, 'performance', { now: () => monotonic() - origin });

/* what makes machine code by itself, or waits for other threads */
delete globalThis.WebAssembly;
delete globalThis.SharedArrayBuffer;
delete globalThis.Atomics;

/* --- context --- */
const context = Object.freeze({
	get function() { return about(0); },
	get version() { return about(1); },
	get node() { return about(2); },
	get rank() { return about(3); },
	get size() { return about(4); },
	get id() { return about(5); },
	get deadline() { return about(6); },
	get remaining() { return about(7); },
	get cancelled() { return about(8); },
	get listened() { return about(9); },
	get secrets() { return about(10); },
	emit(value) { emit(value); },
	progress(fraction, text = '') { progress(+fraction, toText(text)); },
});
return { tick, forget, context };
})
