// Code to copy. Keys never get into it: what signs runs on a server and reads IMGPROXY_KEY there.

export const KINDS = [
  ["srcset", "srcset"],
  ["picture", "<picture>"],
  ["css", "CSS"],
  ["preset", "Preset"],
  ["next", "Next.js"],
  ["nuxt", "Nuxt"],
  ["django", "Django"],
  ["rails", "Rails"],
  ["curl", "curl"],
];

const set = (urls) => urls.map(([url, width]) => `${url} ${width}w`).join(",\n    ");

// A preset may forbid other formats: then there are none.
const source = (format, urls) => (urls.length ? `\n  <source type="image/${format}" srcset="${set(urls)}">` : "");
const image = (format, urls) => (urls.length ? `\n  url("${urls.at(-1)[0]}") type("image/${format}"),` : "");

// What a form has is what a preset file has.
const line = ([name, value]) => `${name === "preset" ? "extends" : name} = ${toml(value)}`;
const toml = (value) => {
  if (Array.isArray(value)) return `[${value.map(toml).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const pairs = Object.entries(value).filter(([, each]) => each !== null);
  return `{ ${pairs.map(([key, each]) => `${key} = ${toml(each)}`).join(", ")} }`;
};

const NODE = `import { createHmac } from "node:crypto";

const bytes = (name) => Buffer.from(process.env[name], "hex");

export function imgproxy(source, options) {
  const path = \`/\${options}/\${Buffer.from(source).toString("base64url")}\`;
  const digest = createHmac("sha256", bytes("IMGPROXY_KEY")).update(bytes("IMGPROXY_SALT")).update(path);
  return \`ORIGIN/\${digest.digest("base64url")}\${path}\`;
}`;

const MAKERS = {
  srcset: (it) => `<img\n  src="${it.url}"\n  srcset="${set(it.plain)}"\n  sizes="(max-width: ${it.width}px) 100vw, ${it.width}px"\n  width="${it.width}" height="${it.height}" alt="">`,

  picture: (it) =>
    `<picture>${source("avif", it.avif)}${source("webp", it.webp)}\n  <img src="${it.url}" width="${it.width}" height="${it.height}" alt="">\n</picture>`,

  css: (it) =>
    `background-image: image-set(${image("avif", it.avif)}${image("webp", it.webp)}\n  url("${it.url}")\n);`,

  preset: (it) => `[presets.name]\ndescription = "What it is for"\n${Object.entries(it.values).map(line).join("\n")}`,

  next: (it) =>
    `// lib/imgproxy.js: on the server only, a loader would need the key in the browser\nimport "server-only";\n${NODE.replace("ORIGIN", it.origin)}\n\n// app/page.jsx\n<Image unoptimized src={imgproxy("${it.source}", "${it.options || "q:80"}")} width={${it.width}} height={${it.height}} alt="" />`,

  nuxt: (it) =>
    `// server/utils/imgproxy.js: on the server only\n${NODE.replace("ORIGIN", it.origin)}\n\n// server/api/picture.js\nexport default defineEventHandler(() => imgproxy("${it.source}", "${it.options || "q:80"}"));\n\n// in a page\n<script setup>\nconst { data: src } = await useFetch("/api/picture");\n</script>\n<template><img :src="src" width="${it.width}" height="${it.height}" alt=""></template>`,

  django: (it) =>
    `# templatetags/imgproxy.py\nimport base64, hashlib, hmac, os\nfrom django import template\n\nregister = template.Library()\nKEY, SALT = (bytes.fromhex(os.environ[name]) for name in ("IMGPROXY_KEY", "IMGPROXY_SALT"))\n\ndef encoded(raw):\n    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()\n\n@register.simple_tag\ndef imgproxy(source, options):\n    path = f"/{options}/{encoded(source.encode())}"\n    return "${it.origin}/" + encoded(hmac.digest(KEY, SALT + path.encode(), hashlib.sha256)) + path\n\n{# in a template #}\n{% load imgproxy %}\n<img src="{% imgproxy '${it.source}' '${it.options || "q:80"}' %}" width="${it.width}" height="${it.height}" alt="">`,

  rails: (it) =>
    `# app/helpers/imgproxy_helper.rb\nmodule ImgproxyHelper\n  KEY, SALT = %w[IMGPROXY_KEY IMGPROXY_SALT].map { |name| [ENV.fetch(name)].pack("H*") }\n\n  def imgproxy(source, options)\n    path = "/#{options}/#{Base64.urlsafe_encode64(source, padding: false)}"\n    digest = OpenSSL::HMAC.digest("SHA256", KEY, SALT + path)\n    "${it.origin}/#{Base64.urlsafe_encode64(digest, padding: false)}#{path}"\n  end\nend\n\n<%# in a view %>\n<%= image_tag imgproxy("${it.source}", "${it.options || "q:80"}"), size: "${it.width}x${it.height}", alt: "" %>`,

  curl: (it) => `curl --fail --output picture \\\n  --header 'Accept: ${it.accept}*/*' \\\n  '${it.url.replaceAll("'", "%27")}'`,
};

export const snippet = (kind, it) => MAKERS[kind](it);
