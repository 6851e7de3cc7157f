// Where another answer than the original server's is meant, and why.

/** @type {{names: RegExp, at: RegExp, reason: string}[]} exchanges by name, places in the answer */
export const deliberate = [];
