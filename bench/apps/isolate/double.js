export const handler = (event) => event * 2;
