// Walks one caller through the web API of Passline: from the digits to the reset. Settings: see README.md beside this file.
//
// The JDK has no JSON. So the answers are asked for with ?flat=true, as one map of strings ("users_0_user",
// "questions_count"), which a regular expression reads. With a library for JSON leave that out.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManagerFactory;

public class Reset {
    /** What may be sent again as it is, with the same idempotency key. */
    private static final Set<String> PASSING = Set.of("busy", "unfinished", "in-progress", "too-many-requests");

    private final String url;
    private final HttpClient http;
    private final BufferedReader caller = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private String session;

    Reset(String url, Path ca) throws Exception {
        this.url = url;
        this.http = HttpClient.newBuilder().sslContext(trusting(ca)).connectTimeout(Duration.ofSeconds(5)).build();
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> settings = System.getenv();
        Reset passline = new Reset(settings.get("PASSLINE_URL"), Path.of(settings.get("PASSLINE_CA")));
        String password = Files.readAllLines(Path.of(settings.get("PASSLINE_PASSWORD_FILE"))).get(0);
        try {
            System.exit(passline.walk(settings.get("PASSLINE_USER"), password) ? 0 : 1);
        } catch (IOException | IllegalStateException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
    }

    /** One caller, from Login to Logout. */
    private boolean walk(String user, String password) throws Exception {
        // Give the caller's number too, if you have it: "caller", "+15550142".
        session = call("Login", object("user", user, "password", password)).get("sessionId");
        Map<String, String> job;
        try {
            if (!verify()) {
                throw new IllegalStateException("not verified");
            }
            job = reset();
        } finally {
            // The session ends in any case: also when the caller hangs up, or something fails.
            call("Logout", "{}");
        }
        for (int i = 0; i < count(job, "accounts"); i++) {
            String account = "accounts_" + i + "_";
            System.out.printf("%s %s: %s%n", job.get(account + "system"), job.get(account + "name"), job.get(account + "outcome"));
        }
        return job.get("status").equals("done");
    }

    /** Whether the caller is who they say. */
    private boolean verify() throws Exception {
        // There is always at least one entry; several mean that people share these digits: let the caller choose.
        String digits = ask("Please key your number:");
        String user = call("UserIVRList", object("digits", digits, "idempotencyKey", key())).get("users_0_user");
        while (true) {
            // All questions of the round are asked, then the answers are judged together.
            Map<String, String> asked = call("UserQuestionsGet", object("user", user));
            StringBuilder answers = new StringBuilder();
            for (int i = 0; i < count(asked, "questions"); i++) {
                String answer = ask(asked.get("questions_" + i + "_text"));
                answers.append(i == 0 ? "" : ",").append(object("question", asked.get("questions_" + i + "_question"), "digits", answer));
            }
            String request = "{\"answers\":[" + answers + "],\"idempotencyKey\":" + quoted(key()) + "}";
            String result = call("UserAnswersValidate", request).get("result");
            if (!result.equals("retry")) {
                return result.equals("passed"); // else it is "failed" or "locked"
            }
            System.out.println("That was not right. Once more:"); // the same questions
        }
    }

    /** Sets a new password on all accounts; what came of it. */
    private Map<String, String> reset() throws Exception {
        // "speak" says how to read it out, character by character; with "audio": "mulaw" it is there as sound. Ask again, with
        // another key, until one pleases the caller.
        Map<String, String> proposed = call("PasswordRandomGet", object("idempotencyKey", key()));
        System.out.println("The new password has " + count(proposed, "speak") + " characters.");
        Map<String, String> job =
                call("UserPasswordSync", object("password", proposed.get("password"), "idempotencyKey", key()));
        // What takes longer than two seconds goes on, and is asked for.
        long until = System.nanoTime() + Duration.ofMinutes(2).toNanos();
        while (job.get("status").equals("running") && System.nanoTime() < until) {
            Thread.sleep(500);
            job = call("JobGet", object("job", job.get("job")));
        }
        return job;
    }

    /** What a call is answered with. It is sent again when the server has no time for it, or when its answer was lost. */
    private Map<String, String> call(String name, String body) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + "/api/v1/" + name + "?flat=true"))
                .timeout(Duration.ofSeconds(10))
                .header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body));
        if (session != null) {
            request.header("authorization", "Bearer " + session);
        }
        for (int tries = 0; tries < 20; tries++) {
            HttpResponse<String> response;
            try {
                response = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
            } catch (SSLException error) {
                throw error; // It will not become better.
            } catch (IOException lost) {
                Thread.sleep(1_000);
                continue;
            }
            Map<String, String> answer = members(response.body());
            if (response.statusCode() == 200) {
                return answer;
            }
            // Tell faults apart by their type; titles and details are for people.
            String kind = answer.getOrDefault("type", "").replace("urn:passline:problem:", "");
            if (!PASSING.contains(kind)) {
                throw new IllegalStateException(name + ": " + kind + " (" + response.statusCode() + ")");
            }
            Thread.sleep(1_000 * Long.parseLong(response.headers().firstValue("retry-after").orElse("1")));
        }
        throw new IllegalStateException(name + " does not come to an end");
    }

    /** Says something, and takes what the caller keys. */
    private String ask(String text) throws IOException {
        System.out.println(text);
        String line = caller.readLine();
        return line == null ? "" : line.strip();
    }

    /** A key for one request. Repetitions of this request have the same one. */
    private static String key() {
        return UUID.randomUUID().toString();
    }

    /** The certificate and the name in it are checked against this authority alone. */
    private static SSLContext trusting(Path ca) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var file = Files.newInputStream(ca)) {
            int number = 0;
            for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(file)) {
                store.setCertificateEntry("authority" + number++, certificate);
            }
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    /** An object of names and texts by turns. */
    private static String object(String... members) {
        StringBuilder text = new StringBuilder("{");
        for (int i = 0; i < members.length; i += 2) {
            text.append(i == 0 ? "" : ",").append(quoted(members[i])).append(':').append(quoted(members[i + 1]));
        }
        return text.append('}').toString();
    }

    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            quoted.append(c < ' ' || c == '"' || c == '\\' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
        }
        return quoted.append('"').toString();
    }

    private static final Pattern MEMBER = Pattern.compile("\"((?:[^\"\\\\]|\\\\.)*)\"\\s*:\\s*\"((?:[^\"\\\\]|\\\\.)*)\"");
    private static final Pattern ESCAPE = Pattern.compile("\\\\(?:u([0-9a-fA-F]{4})|(.))");

    private static Map<String, String> members(String json) {
        Map<String, String> members = new HashMap<>();
        MEMBER.matcher(json).results().forEach(found -> members.put(found.group(1), unescaped(found.group(2))));
        return members;
    }

    private static String unescaped(String text) {
        return ESCAPE.matcher(text).replaceAll(found -> java.util.regex.Matcher.quoteReplacement(character(found)));
    }

    private static String character(MatchResult escape) {
        if (escape.group(1) != null) {
            return String.valueOf((char) Integer.parseInt(escape.group(1), 16));
        }
        int known = "bfnrt".indexOf(escape.group(2));
        return known < 0 ? escape.group(2) : String.valueOf("\b\f\n\r\t".charAt(known));
    }

    private static int count(Map<String, String> answer, String list) {
        return Integer.parseInt(answer.get(list + "_count"));
    }
}
