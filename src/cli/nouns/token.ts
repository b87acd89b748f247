import type { Noun } from "../noun.ts";

export const tokenNoun: Noun = {
  name: "token",
  summary: "print an access token, good for an hour",
  verbs: [
    {
      name: "",
      summary:
        "Prints an access token, good for an hour: for scripts, and for `berth token | docker login -u oauth2accesstoken --password-stdin HOST`.",
      async run(_, server) {
        const token = await server.accessToken();
        return { json: { access_token: token }, text: token };
      },
    },
  ],
};
