// A reader of the frame strip that shares nothing with the player page's own.
//
// `readDisplayed` runs inside a page: it must not refer to anything outside itself.

/** Counter and time of the frame that the page's first video shows; `null` when unreadable. */
export function readDisplayed() {
  const COLUMNS = 26;
  const video = document.querySelector("video");
  if (video === null || video.readyState < 2 || video.videoWidth === 0) return null;
  const width = COLUMNS * 8;
  const stripHeight = (2 * video.videoHeight) / 15;
  const canvas = new OffscreenCanvas(width, 16);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0, video.videoWidth, stripHeight, 0, 0, width, 16);
  const { data } = context.getImageData(0, 0, width, 16);

  // Two by two pixels in the middle of each block.
  const luma = (row, column) => {
    let sum = 0;
    for (const y of [3, 4]) {
      for (const x of [3, 4]) {
        const at = ((row * 8 + y) * width + column * 8 + x) * 4;
        sum += 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
      }
    }
    return sum / 4;
  };
  const value = (row) => {
    const white = luma(row, row);
    const black = luma(row, 1 - row);
    if (white - black < 80) return null;
    const bits = [];
    for (let column = 2; column < COLUMNS; column++) {
      bits.push(luma(row, column) > (white + black) / 2 ? 1 : 0);
    }
    const even = bits.pop();
    const odd = bits.pop();
    let parity = [0, 0];
    let binary = 0;
    let number = 0;
    bits.forEach((bit, index) => {
      parity[(21 - index) % 2] ^= bit;
      // Gray to binary: each bit is the XOR of all Gray bits down to it.
      binary ^= bit;
      number = number * 2 + binary;
    });
    return parity[0] === even && parity[1] === odd ? number : null;
  };
  const counter = value(0);
  const time = value(1);
  if (counter === null || time === null) return null;
  return { counter, time, width: video.videoWidth, height: video.videoHeight };
}
