// How a function of QuickJS runs: around the prelude that V8's contexts have, too. `native(what, ...)` is qjs_native.c.
(function (native, prelude) {
'use strict';
const { parse, stringify } = JSON;
const toText = String, PromiseClass = Promise, ErrorClass = Error, Bytes = Uint8Array;
const resolved = Promise.resolve.bind(Promise), then = Function.prototype.call.bind(Promise.prototype.then);
const isView = ArrayBuffer.isView, Buffer = ArrayBuffer, freeze = Object.freeze;
const WRITE = 0, MONOTONIC = 1, ABOUT = 2, OUTPUT = 3, ERROR = 4, ENCODE = 5, DECODE = 6, EMIT = 7, PROGRESS = 8, SECRET_NAME = 9,
	SECRET = 10, RANDOM = 11, ABOUT_SECRETS = 10;

// an array buffer or a view as bytes; undefined: it is neither
function bytesOf(value) {
	if (value instanceof Bytes)
		return value;
	if (value instanceof Buffer)
		return new Bytes(value);
	return isView(value) ? new Bytes(value.buffer, value.byteOffset, value.byteLength) : undefined;
}
function decode(bytes) {
	const all = bytesOf(bytes);
	if (all === undefined)
		throw new TypeError('bytes are decoded');
	return native(DECODE, all);
}
function secrets() {
	const all = {};
	for (let i = 0, name; (name = native(SECRET_NAME, i)) !== undefined; i++)
		all[name] = native(SECRET, i);
	return freeze(all);
}
function emit(value) {
	const bytes = bytesOf(value);
	const text = bytes === undefined ? stringify(value === undefined ? null : value) : bytes;
	if (text === undefined)
		throw new TypeError('what is emitted is neither JSON nor bytes');
	if (!native(EMIT, text, bytes !== undefined))
		throw new RangeError('more is emitted than the function may put out');
}

const random = new Int32Array(4);
const { tick, forget, context } = prelude({
	write: (fd, text) => native(WRITE, fd, text),
	monotonic: () => native(MONOTONIC),
	about: (what) => what === ABOUT_SECRETS ? secrets() : native(ABOUT, what),
	emit,
	progress: (fraction, text) => native(PROGRESS, fraction, text),
	encode: (text) => native(ENCODE, text),
	decode,
}, random);
function seed() {
	const bytes = native(RANDOM);
	for (let i = 0; i < 4; i++)
		random[i] = bytes[4 * i] | bytes[4 * i + 1] << 8 | bytes[4 * i + 2] << 16 | bytes[4 * i + 3] << 24;
}
seed();

let handler, isBinary = false, isOver = true;

function described(error) {
	try {
		if (error instanceof ErrorClass) {
			const name = toText(error.name), message = toText(error.message);
			return [name, message, `${name}: ${message}\n${toText(error.stack)}`];
		}
		return ['Thrown', toText(error), ''];
	} catch {
		return ['Thrown', 'what was thrown cannot be described', ''];
	}
}
function failed(error) {
	if (isOver)
		return;
	isOver = true;
	const said = described(error); // by index: iterators may have been changed
	native(ERROR, said[0], said[1], said[2]);
}
function answered(result) {
	if (isOver)
		return;
	try {
		const bytes = bytesOf(result);
		if (bytes !== undefined || (isBinary && typeof result === 'string')) {
			isOver = true;
			native(OUTPUT, bytes === undefined ? result : bytes, true);
			return;
		}
		const text = stringify(result === undefined ? null : result);
		if (text === undefined)
			throw new TypeError('the result is neither JSON nor bytes');
		isOver = true;
		native(OUTPUT, text, false);
	} catch (error) {
		failed(error);
	}
}
function run(fn, done) {
	isOver = false;
	try {
		const result = fn();
		if (result instanceof PromiseClass)
			then(resolved(result), done, failed);
		else
			done(result);
	} catch (error) {
		failed(error);
	}
}
function over() {
	isOver = true;
}

return [
	// use(namespace, symbol): whether that is a handler
	(namespace, symbol) => typeof (handler = namespace[symbol]) === 'function',
	// init(namespace, symbol)
	(namespace, symbol) => run(() => namespace[symbol](), over),
	// call(JSON text, bytes, or undefined; whether it is binary)
	(data, binary) => {
		isBinary = binary;
		run(() => handler(binary ? data : data === undefined ? null : parse(data), context), answered);
	},
	// next(): milliseconds until a timer is due, 0: one has run; -1: none; -2: it is over
	() => isOver ? -2 : tick(),
	// leave(): nothing goes on after a call
	() => { isOver = true; forget(); },
	// fail(error): as if the function had thrown it
	(error) => { isOver = false; failed(error); },
	seed,
];
})
