// IPX as its documentation has it, in as many processes as there are cores.
import cluster from "node:cluster";
import { createServer } from "node:http";
import { createIPX, createIPXNodeServer, ipxHttpStorage } from "ipx";

if (cluster.isPrimary) {
  for (let n = 0; n < Number(process.env.PROCESSES); n++) cluster.fork();
  for (const name of ["SIGTERM", "SIGINT"]) process.on(name, () => process.exit(0));
} else {
  const ipx = createIPX({
    httpStorage: ipxHttpStorage({ domains: ["127.0.0.1"] }),
    // The same as the others': libvips' effort 0 is speed 9.
    sharpOptions: { jpegProgressive: false, webpEffort: 4, heifEffort: 0 },
  });
  const answer = createIPXNodeServer(ipx);
  createServer((request, response) => {
    if (request.url === "/_/health") return response.end("ok");
    return answer(request, response);
  }).listen(Number(process.env.PORT), "127.0.0.1");
}
