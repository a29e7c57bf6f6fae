/** Free ports of 127.0.0.1, taken together so that they differ. Somebody may still be quicker: whoever starts tries again once. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** `count` different ports that nobody listened at a moment ago. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const holders = Array.from({ length: count }, () => createServer());
  try {
    return await Promise.all(
      holders.map(async (holder) => {
        holder.listen(0, '127.0.0.1');
        await once(holder, 'listening');
        return (holder.address() as AddressInfo).port;
      }),
    );
  } finally {
    await Promise.all(holders.map((holder) => new Promise((closed) => holder.close(closed))));
  }
}
