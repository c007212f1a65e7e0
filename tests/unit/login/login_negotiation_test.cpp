// Rows NEG and KEY, played through whole logins.
#include <gtest/gtest.h>

#include "tests/unit/login/script.hpp"

namespace pollux::session {
namespace {

using namespace test;
using Kind = LoginFailureKind;

LoginOptions with_offer(const Offer& offer, SessionType type = SessionType::normal) {
  LoginOptions options = default_options();
  options.offer = offer;
  options.session_type = type;
  return options;
}

OperationalParameters agreed(const Offer& offer, std::string_view answers) {
  Script s{with_offer(offer)};
  s.to_operational().accept(answers);
  return s.result().parameters;
}

void expect_refused(const Offer& offer, std::string_view answers) {
  Script s{with_offer(offer)};
  s.to_operational().accept(answers);
  SCOPED_TRACE(answers);
  s.expect_failure(Kind::negotiation);
}

/// They propose in a T=0 response; what we answer.
std::map<std::string, std::string> answers_to(const Offer& offer, std::string_view proposals,
                                              SessionType type = SessionType::normal) {
  Script s{with_offer(offer, type)};
  s.to_operational();
  s.receive({.flags = stages(1, 0), .data = pairs(proposals)});
  s.expect_sent();
  return s.keys();
}

// --- our offer ---

TEST(Negotiation, OffersEveryOperationalKeyOnce) {
  Offer offer;
  offer.header_digest = {Digest::crc32c, Digest::none};
  Script s{with_offer(offer)};
  s.to_operational();
  EXPECT_EQ(s.keys(), (std::map<std::string, std::string>{{"HeaderDigest", "CRC32C,None"},
                                                          {"DataDigest", "None"},
                                                          {"MaxRecvDataSegmentLength", "262144"},
                                                          {"DefaultTime2Wait", "2"},
                                                          {"DefaultTime2Retain", "20"},
                                                          {"ErrorRecoveryLevel", "0"},
                                                          {"MaxConnections", "1"},
                                                          {"InitialR2T", "No"},
                                                          {"ImmediateData", "Yes"},
                                                          {"MaxBurstLength", "1048576"},
                                                          {"FirstBurstLength", "262144"},
                                                          {"MaxOutstandingR2T", "1"},
                                                          {"DataPDUInOrder", "Yes"},
                                                          {"DataSequenceInOrder", "Yes"}}));
}

TEST(Negotiation, DSC03_DSC04_DiscoveryOffersNoKeyThatIsIrrelevantThere) {
  Offer offer;
  offer.error_recovery_level = 2;
  Script s{with_offer(offer, SessionType::discovery)};
  s.to_operational();
  EXPECT_EQ(s.keys(), (std::map<std::string, std::string>{{"HeaderDigest", "None"},
                                                          {"DataDigest", "None"},
                                                          {"MaxRecvDataSegmentLength", "262144"},
                                                          {"DefaultTime2Wait", "2"},
                                                          {"DefaultTime2Retain", "20"},
                                                          {"ErrorRecoveryLevel", "0"}}));
}

TEST(Negotiation, NEG23_OurFirstBurstIsNeverAboveOurMaxBurst) {
  Offer offer;
  offer.max_burst_length = 8192;
  Script s{with_offer(offer)};
  s.to_operational();
  EXPECT_EQ(s.keys().at("FirstBurstLength"), "8192");
}

TEST(Negotiation, KEY14_RecoveryWithOrderedSequencesAllowsOneR2t) {
  Offer offer;
  offer.error_recovery_level = 1;
  offer.max_outstanding_r2t = 8;
  Script s{with_offer(offer)};
  s.to_operational();
  EXPECT_EQ(s.keys().at("MaxOutstandingR2T"), "1");
}

// --- answers ---

TEST(Negotiation, KEY01_KEY02_DigestsAreAgreedApart) {
  Offer offer;
  offer.header_digest = {Digest::crc32c, Digest::none};
  offer.data_digest = {Digest::none, Digest::crc32c};
  for (const bool header : {false, true}) {
    for (const bool data : {false, true}) {
      const auto p = agreed(offer, std::string("HeaderDigest=") + (header ? "CRC32C" : "None") +
                                       ";DataDigest=" + (data ? "CRC32C" : "None"));
      EXPECT_EQ(p.header_digest, header);
      EXPECT_EQ(p.data_digest, data);
    }
  }
}

TEST(Negotiation, NEG08_NEG10_DigestAnswerIsOneOfferedValue) {
  Offer crc_only;
  crc_only.header_digest = {Digest::crc32c};
  for (const char* value : {"None", "MD5", "CRC32C,None", "", "crc32c"}) {
    expect_refused(crc_only, std::string("HeaderDigest=") + value);
  }
  expect_refused(Offer{}, "DataDigest=CRC32C");
}

TEST(Negotiation, KEY06_SegmentLimitsAreDeclaredPerDirection) {
  Offer offer;
  offer.max_recv_data_segment_length = 65536;
  const auto p = agreed(offer, "MaxRecvDataSegmentLength=16777215");
  EXPECT_EQ(p.max_recv_data_segment_length, 65536u);
  EXPECT_EQ(p.target_max_recv_data_segment_length, 16777215u);
  EXPECT_EQ(agreed(offer, "MaxRecvDataSegmentLength=512").target_max_recv_data_segment_length,
            512u);
  EXPECT_EQ(agreed(offer, "").target_max_recv_data_segment_length, 8192u);
  expect_refused(offer, "MaxRecvDataSegmentLength=511");
  expect_refused(offer, "MaxRecvDataSegmentLength=16777216");
}

TEST(Negotiation, NEG04_NumbersMayBeHexadecimal) {
  EXPECT_EQ(agreed(Offer{}, "MaxBurstLength=0x40000").max_burst_length, 262144u);
  EXPECT_EQ(agreed(Offer{}, "MaxBurstLength=0X200").max_burst_length, 512u);
}

TEST(Negotiation, NEG05_NEG06_IllegalNumbersEndTheLogin) {
  for (const char* value : {"01000", "511", "16777216", "-1", "+512", " 512", "1e6", "4294967296",
                            "", "18446744073709551616"}) {
    expect_refused(Offer{}, std::string("MaxBurstLength=") + value);
  }
}

TEST(Negotiation, NEG07_IllegalBooleansEndTheLogin) {
  for (const char* value : {"True", "1", "YES", "yes", ""}) {
    expect_refused(Offer{}, std::string("ImmediateData=") + value);
  }
}

TEST(Negotiation, NEG17_AnswersOutsideTheResultFunctionEndTheLogin) {
  Offer offer;
  offer.immediate_data = false;
  offer.initial_r2t = true;
  offer.max_connections = 4;
  for (const char* answer :
       {"MaxBurstLength=1048577", "DefaultTime2Wait=0", "DefaultTime2Wait=3601",
        "DefaultTime2Retain=25", "MaxOutstandingR2T=2", "MaxOutstandingR2T=0", "MaxConnections=5",
        "MaxConnections=0", "MaxConnections=65536", "ErrorRecoveryLevel=1", "ErrorRecoveryLevel=3",
        "ImmediateData=Yes", "InitialR2T=No", "DataPDUInOrder=No", "DataSequenceInOrder=No"}) {
    expect_refused(offer, answer);
  }
  expect_refused(Offer{}, "FirstBurstLength=262145");
}

TEST(Negotiation, KEY03_To_KEY11_LegalAnswersAreTheResult) {
  Offer offer;
  offer.max_connections = 4;
  offer.max_outstanding_r2t = 8;
  const auto p =
      agreed(offer,
             "MaxConnections=2;InitialR2T=Yes;ImmediateData=No;MaxBurstLength=512;"
             "FirstBurstLength=512;DefaultTime2Wait=3600;DefaultTime2Retain=0;"
             "MaxOutstandingR2T=3;DataPDUInOrder=Yes;DataSequenceInOrder=Yes;ErrorRecoveryLevel=0");
  EXPECT_EQ(p.max_connections, 2);
  EXPECT_TRUE(p.initial_r2t);
  EXPECT_FALSE(p.immediate_data);
  EXPECT_EQ(p.max_burst_length, 512u);
  EXPECT_EQ(p.first_burst_length, 512u);
  EXPECT_EQ(p.default_time2wait, 3600);
  EXPECT_EQ(p.default_time2retain, 0);
  EXPECT_EQ(p.max_outstanding_r2t, 3);
}

TEST(Negotiation, NEG12_NotUnderstoodForABaseKeyIsAnError) {
  expect_refused(Offer{}, "MaxBurstLength=NotUnderstood");
  expect_refused(Offer{}, "HeaderDigest=NotUnderstood");
}

TEST(Negotiation, NEG14_IrrelevantIsAnAnswer) {
  const auto p = agreed(Offer{}, "InitialR2T=Yes;ImmediateData=No;FirstBurstLength=Irrelevant");
  EXPECT_TRUE(p.initial_r2t);
  EXPECT_FALSE(p.immediate_data);
}

TEST(Negotiation, NEG15_RejectLeavesTheDefault) {
  Offer offer;
  offer.max_outstanding_r2t = 8;
  offer.header_digest = {Digest::crc32c};
  const auto p = agreed(offer, "MaxOutstandingR2T=Reject;HeaderDigest=Reject");
  EXPECT_EQ(p.max_outstanding_r2t, 1);
  EXPECT_FALSE(p.header_digest);
}

TEST(Negotiation, NEG18_BooleansThatOurOfferFixesNeedNoAnswer) {
  Offer offer;
  offer.immediate_data = false;
  offer.initial_r2t = true;
  const auto p = agreed(offer, "");
  EXPECT_FALSE(p.immediate_data);
  EXPECT_TRUE(p.initial_r2t);
}

TEST(Negotiation, LOG49_UnansweredOffersFallBackToTheDefault) {
  Offer offer;
  offer.max_outstanding_r2t = 8;
  const auto p = agreed(offer, "");
  EXPECT_EQ(p.first_burst_length, 65536u);
  EXPECT_EQ(p.max_burst_length, 262144u);
  EXPECT_TRUE(p.initial_r2t);
  EXPECT_TRUE(p.immediate_data);
  EXPECT_EQ(p.max_outstanding_r2t, 1);
}

TEST(Negotiation, NEG23_AgreedFirstBurstAboveMaxBurstEndsTheLogin) {
  expect_refused(Offer{}, "MaxBurstLength=8192;FirstBurstLength=65536");
  EXPECT_EQ(agreed(Offer{}, "MaxBurstLength=8192").first_burst_length, 8192u);
}

// --- what the target starts ---

TEST(Negotiation, NEG11_UnknownKeysAreNotUnderstood) {
  const auto keys =
      answers_to(Offer{}, "X-com.example.foo=1;FooBar=7;maxburstlength=512;RDMAExtensions=Yes");
  EXPECT_EQ(keys.size(), 4u);
  for (const auto& [key, value] : keys) EXPECT_EQ(value, "NotUnderstood") << key;
}

TEST(Negotiation, NEG16_ReservedWordsAreNotProposals) {
  for (const char* text :
       {"TaskReporting=Reject", "Foo=NotUnderstood", "iSCSIProtocolLevel=Irrelevant"}) {
    Script s;
    s.to_operational();
    s.receive({.flags = stages(1, 0), .data = pairs(text)});
    s.expect_failure(Kind::negotiation);
  }
}

TEST(Negotiation, NEG19_DSC04_ProposalsInDiscoveryAreIrrelevant) {
  const auto keys =
      answers_to(Offer{},
                 "MaxConnections=4;InitialR2T=Yes;ImmediateData=Yes;MaxBurstLength=8192;"
                 "FirstBurstLength=8192;MaxOutstandingR2T=1;DataPDUInOrder=Yes;"
                 "DataSequenceInOrder=Yes;TaskReporting=RFC3720;iSCSIProtocolLevel=1",
                 SessionType::discovery);
  EXPECT_EQ(keys.size(), 10u);
  for (const auto& [key, value] : keys) EXPECT_EQ(value, "Irrelevant") << key;
}

TEST(Negotiation, NEG19_KEY19_KEY20_NewerKeysAreAnsweredAsRfc3720) {
  const auto keys = answers_to(Offer{}, "TaskReporting=FastAbort,RFC3720;iSCSIProtocolLevel=2");
  EXPECT_EQ(keys.at("TaskReporting"), "RFC3720");
  EXPECT_EQ(keys.at("iSCSIProtocolLevel"), "1");
}

/// Proposals that come before our offers go out: the object alone, as no login order reaches it.
std::string answer_before_offers(const Offer& offer, std::string_view proposal,
                                 std::vector<std::byte>* offers = nullptr) {
  Negotiation negotiation{offer, SessionType::normal, true};
  std::vector<std::byte> answers;
  const auto text = pairs(proposal);
  wire::TextSplitter splitter{text};
  EXPECT_EQ(negotiation.on_pair(*splitter.next(), {false, false}, answers), NegotiationVerdict::ok);
  if (offers != nullptr) negotiation.append_offers(*offers);
  if (!answers.empty()) answers.pop_back();
  return text_of(answers);
}

TEST(Negotiation, NEG09_FirstSupportedEntryOfTheirListIsChosen) {
  Offer both;
  both.header_digest = {Digest::none, Digest::crc32c};
  EXPECT_EQ(answer_before_offers(both, "HeaderDigest=Y-foo,CRC32C,None"), "HeaderDigest=CRC32C");
  EXPECT_EQ(answer_before_offers(Offer{}, "HeaderDigest=Y-foo,CRC32C,None"), "HeaderDigest=None");
  EXPECT_EQ(answer_before_offers(Offer{}, "HeaderDigest=Y-foo"), "HeaderDigest=Reject");
}

TEST(Negotiation, NEG19_AnswersToProposalsObeyTheResultFunction) {
  Offer offer;
  offer.immediate_data = false;
  EXPECT_EQ(answer_before_offers(offer, "MaxBurstLength=512"), "MaxBurstLength=512");
  EXPECT_EQ(answer_before_offers(offer, "MaxBurstLength=16777215"), "MaxBurstLength=1048576");
  EXPECT_EQ(answer_before_offers(offer, "DefaultTime2Wait=10"), "DefaultTime2Wait=10");
  EXPECT_EQ(answer_before_offers(offer, "DefaultTime2Wait=0"), "DefaultTime2Wait=2");
  EXPECT_EQ(answer_before_offers(offer, "ImmediateData=Yes"), "ImmediateData=No");
  EXPECT_EQ(answer_before_offers(offer, "InitialR2T=Yes"), "InitialR2T=Yes");
  std::vector<std::byte> offers;
  EXPECT_EQ(answer_before_offers(offer, "ErrorRecoveryLevel=2", &offers), "ErrorRecoveryLevel=0");
  EXPECT_EQ(text_of(offers).find("ErrorRecoveryLevel"), std::string::npos)
      << "answered, so not offered";
}

TEST(Negotiation, NEG20_DeclarationsAreNotAnswered) {
  EXPECT_TRUE(answers_to(Offer{},
                         "MaxRecvDataSegmentLength=4096;TargetAlias=x;TargetPortalGroupTag=1;"
                         "X#NodeArchitecture=any")
                  .empty());
}

TEST(Negotiation, NEG27_MarkersAreRejected) {
  const auto keys = answers_to(Offer{}, "IFMarker=Yes;OFMarker=No;IFMarkInt=1~2;OFMarkInt=2048");
  EXPECT_EQ(keys.size(), 4u);
  for (const auto& [key, value] : keys) EXPECT_EQ(value, "Reject") << key;
}

TEST(Negotiation, NEG25_8192BytesOfUnknownKeysAreAnswered) {
  std::string list;
  while (list.size() < 8100)
    list += (list.empty() ? "" : ";") + ("X" + std::to_string(list.size())) + "=1";
  Script s;
  s.to_operational();
  s.receive({.flags = stages(1, 0), .data = pairs(list)});
  s.expect_sent();
  for (int i = 0; i < 10 && (s.request().flags & kC) != 0; ++i) s.receive({.flags = stages(1, 0)});
  s.accept("");
  EXPECT_EQ(s.result().tsih, 9);
}

TEST(Negotiation, NEG34_AliasIsEscapedForDisplay) {
  EXPECT_EQ(agreed(Offer{}, "TargetAlias=a\x1b[1m\n../\xff").target_alias,
            "a\\x1b[1m\\x0a../\\xff");
}

// --- order and repetition ---

TEST(Negotiation, LOG38_RepeatedKeysEndTheLogin) {
  expect_refused(Offer{}, "MaxBurstLength=512;MaxBurstLength=512");
  expect_refused(Offer{}, "MaxRecvDataSegmentLength=512;MaxRecvDataSegmentLength=65536");
  expect_refused(Offer{}, "X-a.b=1;X-a.b=1");
  Script s;
  s.to_operational();
  s.receive({.flags = stages(1, 0), .data = pairs("MaxBurstLength=512")});
  s.expect_sent();
  s.accept("MaxBurstLength=512");
  s.expect_failure(Kind::negotiation);
  EXPECT_EQ(agreed(Offer{}, "TargetAddress=10.0.0.1;TargetAddress=10.0.0.2").max_connections, 1);
}

TEST(Negotiation, LOG39_KeysOfTheOtherStageEndTheLogin) {
  Script operational_key;
  operational_key.receive({.flags = stages(0, 0), .data = pairs("MaxBurstLength=512")});
  operational_key.expect_failure(Kind::negotiation);
  expect_refused(Offer{}, "AuthMethod=None");
  expect_refused(Offer{}, "CHAP_A=5");
}

TEST(Negotiation, LOG41_ProposalInTheLastResponseEndsTheLogin) {
  expect_refused(Offer{}, "TaskReporting=RFC3720");
  expect_refused(Offer{}, "FooBar=7");
}

TEST(Negotiation, LOG47_PortalGroupTagIsSixteenBits) {
  EXPECT_EQ(agreed(Offer{}, "TargetPortalGroupTag=0").target_portal_group_tag, 0);
  EXPECT_EQ(agreed(Offer{}, "TargetPortalGroupTag=65535").target_portal_group_tag, 65535);
  EXPECT_FALSE(agreed(Offer{}, "").target_portal_group_tag);
  expect_refused(Offer{}, "TargetPortalGroupTag=65536");
}

TEST(Negotiation, KEY16_KeysOnlyWeMaySendEndTheLogin) {
  for (const char* key :
       {"SessionType=Normal", "InitiatorName=iqn.2024-01.example:x", "SendTargets=All",
        "TargetName=iqn.2024-01.example:x", "InitiatorAlias=x"}) {
    expect_refused(Offer{}, key);
  }
}

TEST(Negotiation, NEG24_FailedNegotiationYieldsNoResult) {
  Script s;
  s.to_operational().accept("MaxRecvDataSegmentLength=512;MaxBurstLength=1");
  EXPECT_FALSE(std::holds_alternative<LoginSucceeded>(s.last()));
}

TEST(Negotiation, NEG30_MalformedTextEndsTheLogin) {
  Script s;
  s.to_operational();
  s.receive({.flags = stages(1, 0), .data = bytes_of("MaxBurstLength=512")});
  s.expect_failure(Kind::negotiation);
}

}  // namespace
}  // namespace pollux::session
