/** Characters of an expression. [IAM, "WorkloadIdentityPoolProvider", attributeCondition] */
export const maxSourceLength = 4096;

/** How deep brackets and conditional operators nest. */
export const maxNesting = 32;

/** Nodes of the syntax tree, those that macros expand to among them. */
export const maxNodes = 500;

/** Evaluations of a node in one evaluation of the expression, at the worst: a macro evaluates its body per element. */
export const maxCost = 50_000;

/** What functions may do in one evaluation, in units of 64 characters or one element: about a third of a microsecond. */
export const maxWork = 60_000;

/** Characters of a string, elements of a list or entries of a map, be it bound to a variable or computed. */
export const maxStringLength = 16_384;
export const maxListLength = 1000;

/** Elements in the whole of one variable, and how deep it nests. */
export const maxVariableElements = 10_000;
export const maxVariableDepth = 32;

/** Characters of a regular expression, and instructions of the program that it becomes. */
export const maxPatternLength = 256;
export const maxPatternProgram = 500;

/** What all conditions that one authorisation asks may do together, in these units and those of `maxCost`: some 60 ms. */
export const maxWorkOfAuthorization = 200_000;

/** What they may do together for the many questions of one listing or search, and after how much others get their turn. */
export const maxWorkOfQuestions = 2_000_000;
export const workOfTurn = 20_000;
