// Smaller PNG files: a palette in place of full colors.

// Old versions of Node.js have no `crc32`.
import zlib from "node:zlib";

// Returns a picture with the 256 most frequent of its colors, of which pages have few.
export function smaller(png) {
    const { width, height, pixels, size } = read(png);
    const counts = new Map();
    for (let at = 0; at < pixels.length; at += size) {
        const color = pixels.readUIntBE(at, 3);
        counts.set(color, (counts.get(color) ?? 0) + 1);
    }
    const sorted = [...counts].sort(([, a], [, b]) => b - a).map(([color]) => color);
    const kept = sorted.slice(0, 256);
    const palette = Buffer.alloc(3 * kept.length);
    kept.forEach((color, place) => palette.writeUIntBE(color, 3 * place, 3));
    const places = new Map(sorted.map((color) => [color, nearest(kept, color)]));
    // Each row begins with its filter, which is none.
    const rows = Buffer.alloc(height * (width + 1));
    for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
            rows[y * (width + 1) + 1 + x] = places.get(pixels.readUIntBE((y * width + x) * size, 3));
        }
    }
    const head = Buffer.alloc(13);
    head.writeUInt32BE(width, 0);
    head.writeUInt32BE(height, 4);
    // 8 bits per pixel, of a palette.
    head.set([8, 3, 0, 0, 0], 8);
    const image = zlib.deflateSync(rows, { level: 9, memLevel: 9 });
    const chunks = [["IHDR", head], ["PLTE", palette], ["IDAT", image], ["IEND", Buffer.alloc(0)]];
    return Buffer.concat([png.subarray(0, 8), ...chunks.map(([kind, data]) => chunk(kind, data))]);
}

// Returns the place of the color that differs least.
function nearest(colors, color) {
    const parts = (color) => [color >> 16, (color >> 8) & 255, color & 255];
    const distance = (other) => parts(other).reduce((sum, part, at) => sum + (part - parts(color)[at]) ** 2, 0);
    return colors.reduce((best, other, at) => (distance(other) < distance(colors[best]) ? at : best), 0);
}

function chunk(kind, data) {
    const all = Buffer.concat([Buffer.alloc(4), Buffer.from(kind, "latin1"), data, Buffer.alloc(4)]);
    all.writeUInt32BE(data.length, 0);
    all.writeUInt32BE(zlib.crc32(all.subarray(4, -4)), all.length - 4);
    return all;
}

// Reads a picture whose pixels have 3 or 4 bytes, `size`.
function read(png) {
    const parts = [];
    let [width, height, size] = [0, 0, 0];
    for (let at = 8; at < png.length; ) {
        const length = png.readUInt32BE(at);
        const kind = png.toString("latin1", at + 4, at + 8);
        const data = png.subarray(at + 8, at + 8 + length);
        if (kind === "IHDR") {
            [width, height, size] = [data.readUInt32BE(0), data.readUInt32BE(4), data[9] === 6 ? 4 : 3];
        } else if (kind === "IDAT") {
            parts.push(data);
        }
        at += length + 12;
    }
    const rows = zlib.inflateSync(Buffer.concat(parts));
    const stride = width * size;
    const pixels = Buffer.alloc(height * stride);
    for (let y = 0; y < height; y++) {
        const [filter, ...row] = rows.subarray(y * (stride + 1), (y + 1) * (stride + 1));
        for (let x = 0; x < stride; x++) {
            const place = y * stride + x;
            const left = x < size ? 0 : pixels[place - size];
            const above = y === 0 ? 0 : pixels[place - stride];
            const corner = x < size || y === 0 ? 0 : pixels[place - stride - size];
            const guesses = [0, left, above, (left + above) >> 1, paeth(left, above, corner)];
            pixels[place] = row[x] + guesses[filter];
        }
    }
    return { width, height, pixels, size };
}

// Returns the neighbor that is nearest to `left + above - corner`.
function paeth(left, above, corner) {
    const distance = (value) => Math.abs(left + above - corner - value);
    const nearer = distance(above) < distance(left) ? above : left;
    return distance(corner) < distance(nearer) ? corner : nearer;
}
