// How many words a text has.
export const count = (event) => (event.match(/\S+/g) ?? []).length;
