// Walks one caller through the web API of Passline: from the digits to the reset. Settings: see README.md beside this file.

using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

// What may be sent again as it is, with the same idempotency key.
string[] passing = ["busy", "unfinished", "in-progress", "too-many-requests"];

// The certificate and the name in it are checked against this authority alone.
var authorities = new X509Certificate2Collection();
authorities.ImportFromPemFile(Setting("PASSLINE_CA"));
var trust = new X509ChainPolicy
{
    TrustMode = X509ChainTrustMode.CustomRootTrust,
    RevocationMode = X509RevocationMode.NoCheck, // An authority of the house has no list of revoked certificates, most often.
};
trust.CustomTrustStore.AddRange(authorities);
using var http = new HttpClient(new SocketsHttpHandler
{
    SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = trust },
    UseProxy = false,
    AllowAutoRedirect = false,
})
{
    BaseAddress = new Uri(Setting("PASSLINE_URL")),
    Timeout = TimeSpan.FromSeconds(10),
};
string? session = null;

try
{
    // Give the caller's number too, if you have it: ["caller"] = "+15550142".
    var password = File.ReadLines(Setting("PASSLINE_PASSWORD_FILE")).First();
    var login = await Call("Login", new() { ["user"] = Setting("PASSLINE_USER"), ["password"] = password });
    session = Text(login, "sessionId");
    JsonObject job;
    try
    {
        if (!await Verify())
        {
            throw new InvalidOperationException("not verified");
        }
        job = await Reset();
    }
    finally
    {
        // The session ends in any case: also when the caller hangs up, or something fails.
        await Call("Logout", new());
    }
    foreach (var account in job["accounts"]!.AsArray())
    {
        Console.WriteLine($"{Text(account!, "system")} {Text(account!, "name")}: {Text(account!, "outcome")}");
    }
    return Text(job, "status") == "done" ? 0 : 1;
}
catch (Exception error) when (error is InvalidOperationException or HttpRequestException)
{
    Console.Error.WriteLine(error.Message);
    return 1;
}

// Whether the caller is who they say.
async Task<bool> Verify()
{
    // There is always at least one entry; several mean that people share these digits: let the caller choose.
    var digits = Ask("Please key your number:");
    var listed = await Call("UserIVRList", new() { ["digits"] = digits, ["idempotencyKey"] = Key() });
    var user = Text(listed["users"]![0]!, "user");
    while (true)
    {
        // All questions of the round are asked, then the answers are judged together.
        var asked = await Call("UserQuestionsGet", new() { ["user"] = user });
        var answers = new JsonArray();
        foreach (var question in asked["questions"]!.AsArray())
        {
            var answer = Ask(Text(question!, "text"));
            answers.Add(new JsonObject { ["question"] = Text(question!, "question"), ["digits"] = answer });
        }
        var judged = await Call("UserAnswersValidate", new() { ["answers"] = answers, ["idempotencyKey"] = Key() });
        var result = Text(judged, "result");
        if (result != "retry")
        {
            return result == "passed"; // else it is "failed" or "locked"
        }
        Console.WriteLine("That was not right. Once more:"); // the same questions
    }
}

// Sets a new password on all accounts; what came of it.
async Task<JsonObject> Reset()
{
    // "speak" says how to read it out, character by character; with ["audio"] = "mulaw" it is there as sound. Ask again, with
    // another key, until one pleases the caller.
    var proposed = await Call("PasswordRandomGet", new() { ["idempotencyKey"] = Key() });
    Console.WriteLine($"The new password has {proposed["speak"]!.AsArray().Count} characters.");
    var order = new JsonObject { ["password"] = Text(proposed, "password"), ["idempotencyKey"] = Key() };
    var job = await Call("UserPasswordSync", order);
    // What takes longer than two seconds goes on, and is asked for.
    var waited = Stopwatch.StartNew();
    while (Text(job, "status") == "running" && waited.Elapsed < TimeSpan.FromMinutes(2))
    {
        await Task.Delay(500);
        job = await Call("JobGet", new() { ["job"] = Text(job, "job") });
    }
    return job;
}

// What a call is answered with. It is sent again when the server has no time for it, or when its answer was lost.
async Task<JsonObject> Call(string name, JsonObject request)
{
    var body = request.ToJsonString();
    for (var tries = 0; tries < 20; tries++)
    {
        var wait = TimeSpan.FromSeconds(1);
        try
        {
            using var message = new HttpRequestMessage(HttpMethod.Post, $"/api/v1/{name}");
            message.Content = new StringContent(body, Encoding.UTF8, "application/json");
            if (session is not null)
            {
                message.Headers.Authorization = new AuthenticationHeaderValue("Bearer", session);
            }
            using var response = await http.SendAsync(message);
            var answer = JsonNode.Parse(await response.Content.ReadAsStringAsync())!.AsObject();
            if (response.StatusCode == HttpStatusCode.OK)
            {
                return answer;
            }
            // Tell faults apart by their type; titles and details are for people.
            var kind = (answer["type"]?.GetValue<string>() ?? "").Replace("urn:passline:problem:", "");
            if (!passing.Contains(kind))
            {
                throw new InvalidOperationException($"{name}: {kind} ({(int)response.StatusCode})");
            }
            wait = response.Headers.RetryAfter?.Delta ?? wait;
        }
        catch (HttpRequestException error) when (error.InnerException is not AuthenticationException)
        {
            // The answer was lost. (That a certificate is not believed will not become better.)
        }
        catch (TaskCanceledException)
        {
            // It took too long.
        }
        catch (JsonException)
        {
            throw new InvalidOperationException("that is no answer of Passline");
        }
        await Task.Delay(wait);
    }
    throw new InvalidOperationException($"{name} does not come to an end");
}

// Says something, and takes what the caller keys.
static string Ask(string text)
{
    Console.WriteLine(text);
    return (Console.ReadLine() ?? "").Trim();
}

// A key for one request. Repetitions of this request have the same one.
static string Key() => Guid.NewGuid().ToString();

static string Text(JsonNode node, string name) => node[name]!.GetValue<string>();

static string Setting(string name) =>
    Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set");
