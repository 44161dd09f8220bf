// What `bench/run isolate` starts isolates of, here and in the bare engine.
export function sum(n) {
    let s = 0;
    for (let i = 1; i <= n; i++) s = (s + i * i) % 1000003;
    return s;
}

export function echo(event) {
    return event;
}

const document = JSON.stringify(Array.from({ length: 24 }, () => ({ value: [1.5, true, null, 'text'] })));
export function json() {
    return JSON.stringify(JSON.parse(document)).length;
}
