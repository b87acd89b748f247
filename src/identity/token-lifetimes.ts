/** Google's access tokens live so long, and its tools count on it. */
export const accessTokenSeconds = 3600;
