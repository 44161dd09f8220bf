// The functions of engine_cases.h.
let calls = 0, kept = [];

export const echo = (event) => event;
export const count = () => ++calls;
export const total = () => calls;

export function fail() {
	function inner() {
		throw new RangeError('no luck today');
	}
	inner();
}

export function spin() {
	for (;;);
}

export function hoard(event) {
	kept = [];
	for (let i = 0; i < event; i++)
		kept.push(new Array(128).fill(i)); // 8 bytes each
	return kept.length;
}

export const large = (event) => 'x'.repeat(event);

export function deep() {
	return 1 + deep();
}

export const draw = () => Math.random();
export const now = () => Date.now() / 1000;

export async function tell(event, context) {
	for (let i = 1; i <= event; i++) {
		await new Promise((resolve) => setTimeout(resolve, 1));
		context.emit(i);
	}
	return 'told';
}

export function loop(event) {
	let s = 0;
	for (let i = 1; i <= event; i++)
		s = (s + i * i) % 1000003;
	return s;
}
