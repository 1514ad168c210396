// Walks the API by JAX-WS (https://javaee.github.io/metro-jax-ws) from its WSDL, with classes that wsimport has made of it: a
// caller from the digits to the reset. Arguments: WSDL, CA file, API user, a file with its password, name of the port.
// Prints what came of it as JSON.

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import passline.*;

public class JaxwsClient {
    private static final Set<String> PASSING = Set.of("busy", "unfinished", "in-progress");

    public static void main(String[] arguments) throws Exception {
        HttpsURLConnection.setDefaultSSLSocketFactory(trusting(Path.of(arguments[1])).getSocketFactory());
        Passline service = new Passline(URI.create(arguments[0]).toURL());
        PasslinePortType port =
                arguments[4].equals("PasslineSoap12") ? service.getPasslineSoap12() : service.getPasslineSoap11();

        Login login = new Login();
        login.setUser(arguments[2]);
        login.setPassword("wrong");
        String wrongPassword = kindOf(() -> port.login(login));
        login.setPassword(Files.readString(Path.of(arguments[3])));
        String session = call(() -> port.login(login)).getSessionId();

        UserAccountList accounts = new UserAccountList();
        accounts.setSessionId(session);
        String tooEarly = kindOf(() -> port.userAccountList(accounts));

        UserIVRList digits = new UserIVRList();
        digits.setSessionId(session);
        digits.setDigits("4711");
        digits.setIdempotencyKey("i");
        UserQuestionsGet user = new UserQuestionsGet();
        user.setSessionId(session);
        user.setUser(call(() -> port.userIVRList(digits)).getUsers().get(0).getUser());
        user.setAudio(AudioFormat.MULAW);
        UserAnswersValidate answers = new UserAnswersValidate();
        answers.setSessionId(session);
        answers.setIdempotencyKey("a");
        for (AskedQuestion asked : call(() -> port.userQuestionsGet(user)).getQuestions()) {
            Answer answer = new Answer();
            answer.setQuestion(asked.getQuestion());
            answer.setDigits(asked.getText().contains("badge") ? "835164" : "2009");
            answers.getAnswers().add(answer);
        }
        String result = call(() -> port.userAnswersValidate(answers)).getResult().value();
        List<ListedAccount> listed = call(() -> port.userAccountList(accounts)).getAccounts();

        PasswordRandomGet wish = new PasswordRandomGet();
        wish.setSessionId(session);
        wish.setIdempotencyKey("p");
        // Some of them, so that a list is sent too.
        listed.forEach(account -> wish.getAccounts().add(account.getAccount()));
        UserPasswordSync order = new UserPasswordSync();
        order.setSessionId(session);
        order.setPassword(call(() -> port.passwordRandomGet(wish)).getPassword());
        order.setIdempotencyKey("s");
        JobGetResponse job = ended(port, session, call(() -> port.userPasswordSync(order)).getJob());

        UserAccountsUnlock unlock = new UserAccountsUnlock();
        unlock.setSessionId(session);
        unlock.setIdempotencyKey("u");
        JobGetResponse unlocked = ended(port, session, call(() -> port.userAccountsUnlock(unlock)).getJob());

        Logout logout = new Logout();
        logout.setSessionId(session);
        call(() -> port.logout(logout));
        String afterLogout = kindOf(() -> port.userAccountList(accounts));

        System.out.printf(
                "{\"wrongPassword\":\"%s\",\"tooEarly\":\"%s\",\"result\":\"%s\",\"accounts\":%s,\"status\":\"%s\","
                        + "\"outcomes\":%s,\"unlocked\":%s,\"afterLogout\":\"%s\"}%n",
                wrongPassword,
                tooEarly,
                result,
                list(listed.stream().map(ListedAccount::getSystem).toList()),
                job.getStatus().value(),
                outcomes(job),
                outcomes(unlocked),
                afterLogout);
    }

    private static JobGetResponse ended(PasslinePortType port, String session, String job) throws Exception {
        JobGet question = new JobGet();
        question.setSessionId(session);
        question.setJob(job);
        while (true) {
            JobGetResponse known = call(() -> port.jobGet(question));
            if (known.getStatus() != JobStatus.RUNNING) {
                return known;
            }
            Thread.sleep(200);
        }
    }

    /** Sent again, with the same key, as long as it is not known what came of it. */
    private static <T> T call(Callable<T> operation) throws Exception {
        for (int tries = 0; ; tries++) {
            try {
                return operation.call();
            } catch (Problem_Exception problem) {
                if (tries == 20 || !PASSING.contains(problem.getFaultInfo().getType())) {
                    throw problem;
                }
                Thread.sleep(1_000);
            }
        }
    }

    private static String kindOf(Callable<?> operation) throws Exception {
        try {
            call(operation);
            return "none";
        } catch (Problem_Exception problem) {
            return problem.getFaultInfo().getType();
        }
    }

    private static String outcomes(JobGetResponse job) {
        return list(job.getAccounts().stream().map(account -> account.getOutcome().value()).toList());
    }

    private static String list(List<String> words) {
        return words.stream().map(word -> '"' + word + '"').collect(Collectors.joining(",", "[", "]"));
    }

    private static SSLContext trusting(Path ca) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var file = Files.newInputStream(ca)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
