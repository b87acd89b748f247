import { runCli } from "./cli/main.ts";
import { runChild } from "./server/child-main.ts";
import { childVariable } from "./server/messages.ts";

if (process.env[childVariable] === undefined) process.exit(await runCli(process.argv.slice(2)));
else await runChild();
