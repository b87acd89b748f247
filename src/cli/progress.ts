const patience = 1000;

/**
 * Runs `work`, and tells on a terminal what is being waited for once that takes longer than a second.
 * @param tell what to show after so many seconds
 */
export async function withProgress<T>(tell: (seconds: number) => string, work: () => Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return work();
  const begun = performance.now();
  let shown = false;
  const timer = setInterval(() => {
    shown = true;
    process.stderr.write(`\r\x1b[K${tell(Math.round((performance.now() - begun) / 1000))}`);
  }, patience);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    if (shown) process.stderr.write("\r\x1b[K");
  }
}
